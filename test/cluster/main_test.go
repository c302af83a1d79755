// Package cluster_test makes clusters of the real binary on loopback, and kills, stops, starves and grows them in the middle
// of jobs. Every test runs at a size that suits CI; with BRIGADE_CHAOS=1, which is `make chaos`, they run their long forms.
package cluster_test

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/bucketbrigade/brigade/test/binary"
	"github.com/bucketbrigade/brigade/test/servers"
)

// suite is what the tests of this package share. It is set once, before any of them runs.
type suite struct {
	binary  string
	long    bool
	gateway servers.Shared
	ports   sync.Map // given to nodes so far
}

var shared suite

// beside lets a test run beside another one: most of its time it waits. The long forms run alone.
func beside(t *testing.T) {
	if !shared.long {
		t.Parallel()
	}
}

func TestMain(m *testing.M) {
	code, err := runSuite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		code = 1
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "brigade-cluster-")
	if err != nil {
		return 1, fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	shared.long = os.Getenv("BRIGADE_CHAOS") == "1"
	if shared.binary, err = binary.Find(dir); err != nil {
		return 1, err
	}
	defer func() {
		if serr := shared.gateway.Stop(); err == nil {
			err = serr
		}
	}()
	return m.Run(), nil
}
