package main

import (
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/file"
	"github.com/bucketbrigade/brigade/transfer/store/s3"
	"github.com/bucketbrigade/brigade/transfer/store/urllist"
)

// registry lists the providers, one line each.
func registry() store.Registry {
	return store.Registry{
		"file": {Open: file.Open, Validate: file.Validate},
		"s3":   {Open: s3.Open, Validate: s3.Validate},

		store.ListScheme: {Open: urllist.Open, Validate: urllist.Validate, SourceOnly: true},
	}
}
