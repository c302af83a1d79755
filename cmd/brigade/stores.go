package main

import (
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/azblob"
	"github.com/bucketbrigade/brigade/transfer/store/bos"
	"github.com/bucketbrigade/brigade/transfer/store/cos"
	"github.com/bucketbrigade/brigade/transfer/store/file"
	"github.com/bucketbrigade/brigade/transfer/store/gs"
	"github.com/bucketbrigade/brigade/transfer/store/kodo"
	"github.com/bucketbrigade/brigade/transfer/store/oss"
	"github.com/bucketbrigade/brigade/transfer/store/s3"
	"github.com/bucketbrigade/brigade/transfer/store/urllist"
	"github.com/bucketbrigade/brigade/transfer/store/uss"
)

// registry lists the providers, one line each.
func registry() store.Registry {
	r := store.Registry{
		"cos":            {Open: cos.Open, Validate: cos.Validate},
		"bos":            {Open: bos.Open, Validate: bos.Validate},
		"azblob":         {Open: azblob.Open, Validate: azblob.Validate},
		"file":           {Open: file.Open, Validate: file.Validate},
		"kodo":           {Open: kodo.Open, Validate: kodo.Validate},
		"gs":             {Open: gs.Open, Validate: gs.Validate},
		"oss":            {Open: oss.Open, Validate: oss.Validate},
		"uss":            {Open: uss.Open, Validate: uss.Validate},
		store.ListScheme: {Open: urllist.Open, Validate: urllist.Validate, SourceOnly: true},
	}
	for _, scheme := range s3.Schemes() {
		r[scheme] = store.Provider{Open: s3.Open, Validate: s3.Validate}
	}
	return r
}
