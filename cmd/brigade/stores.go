package main

import (
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/file"
	"github.com/bucketbrigade/brigade/transfer/store/oss"
	"github.com/bucketbrigade/brigade/transfer/store/s3"
)

// registry lists the providers, one line each.
func registry() store.Registry {
	return store.Registry{
		"file": {Open: file.Open, Validate: file.Validate},
		"oss":  {Open: oss.Open, Validate: oss.Validate},
		"s3":   {Open: s3.Open, Validate: s3.Validate},
	}
}
