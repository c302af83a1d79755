// Package matrix_test moves objects with odd keys, odd sizes and full metadata between every two kinds of stores, by the real
// binary, and holds what arrives against what was there: content, keys and metadata are equal, or the loss is in the records.
package matrix_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/bucketbrigade/brigade/test/binary"
	"github.com/bucketbrigade/brigade/test/servers"
)

// suite is what the tests share. It is set once, before any of them runs.
type suite struct {
	binary  string
	gateway servers.Shared
}

var shared suite

func TestMain(m *testing.M) {
	code, err := runSuite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		code = 1
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "brigade-matrix-")
	if err != nil {
		return 1, fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if shared.binary, err = binary.Find(dir); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, shared.gateway.Stop()) }()
	return m.Run(), nil
}
