//go:build !linux

package file

import (
	"os"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// mountOf is not told by this system; device and inode alone tell directories apart.
func mountOf(*os.File) uint64 { return 0 }

// identify knows nothing that could be compared across machines: each node only holds on to what it opened.
func identify(*os.File, spot) (store.Identity, error) { return store.Identity{}, nil }

// pathOf is the path that the directory was opened by.
func pathOf(h *held) string { return h.path }
