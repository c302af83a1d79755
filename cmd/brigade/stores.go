package main

import (
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/azblob"
	"github.com/bucketbrigade/brigade/transfer/store/file"
	"github.com/bucketbrigade/brigade/transfer/store/oss"
	"github.com/bucketbrigade/brigade/transfer/store/s3"
	"github.com/bucketbrigade/brigade/transfer/store/urllist"
)

// registry lists the providers, one line each.
func registry() store.Registry {
	r := store.Registry{
		"azblob":         {Open: azblob.Open, Validate: azblob.Validate},
		"file":           {Open: file.Open, Validate: file.Validate},
		"oss":            {Open: oss.Open, Validate: oss.Validate},
		store.ListScheme: {Open: urllist.Open, Validate: urllist.Validate, SourceOnly: true},
	}
	for _, scheme := range s3.Schemes() {
		r[scheme] = store.Provider{Open: s3.Open, Validate: s3.Validate}
	}
	return r
}
