package store

import (
	"context"
	"fmt"
	"strings"
)

// Identifier is a store whose location can come to lead elsewhere while the machine runs: a path where file systems are
// mounted and unmounted.
type Identifier interface {
	// Identity tells what the store is rooted at. It is taken when the store is first used, and again when the root of a
	// destination is made; what the location leads to by then changes nothing, for the store keeps its root open.
	Identity(ctx context.Context) (Identity, error)
	// SamePlace proves that the location still leads to what the store keeps open. If it does not, the error is of class
	// Misconfigured and says what is there now; the store is then to be opened anew.
	SamePlace(ctx context.Context) error
}

// Identity tells one directory of one file system from any other, also across machines. Zero values are unknown.
type Identity struct {
	Type       string `json:"type,omitempty"`        // of the file system, such as "nfs4"
	Source     string `json:"source,omitempty"`      // of a network file system, such as "server:/export"
	Machine    string `json:"machine,omitempty"`     // of a file system that no two machines can share
	MountRoot  string `json:"mount_root,omitempty"`  // the part of the file system that is mounted, "/" for all of it
	MountPoint string `json:"mount_point,omitempty"` // where on this machine; not compared
	MountInode uint64 `json:"mount_inode,omitempty"` // of the mount's uppermost directory
	MountBorn  int64  `json:"mount_born,omitempty"`  // its birth, Unix nanoseconds
	Inode      uint64 `json:"inode,omitempty"`       // of the store's root; 0 while a destination's does not exist
	Born       int64  `json:"born,omitempty"`        // its birth, Unix nanoseconds
	Empty      bool   `json:"empty,omitempty"`       // it held nothing when it was opened; not compared
}

// SameMount tells whether both lie in the same mounted part of the same file system.
func (a *Identity) SameMount(b *Identity) bool {
	return a.Type == b.Type && a.Source == b.Source && a.Machine == b.Machine && a.MountRoot == b.MountRoot &&
		agree(a.MountInode, b.MountInode) && agree(a.MountBorn, b.MountBorn)
}

// Same tells whether both are the same directory. A root that does not exist yet is the same as any in its mount: it is
// about to be made there.
func (a *Identity) Same(b *Identity) bool {
	return a.SameMount(b) && agree(a.Inode, b.Inode) && agree(a.Born, b.Born)
}

// agree tells whether two numbers are equal as far as they are known.
func agree[N int64 | uint64](a, b N) bool { return a == b || a == 0 || b == 0 }

// Depth is how far down the machine's tree the mount lies that the root is in: 0 for the machine's root file system. A
// path where a mount is missing lies in a mount further up.
func (a *Identity) Depth() int {
	return strings.Count(strings.TrimSuffix(a.MountPoint, "/"), "/")
}

// String describes the place in words, such as "nfs4 server:/export mounted at /mnt/data, directory inode 128".
func (a *Identity) String() string {
	text := a.Type
	if text == "" {
		text = "a file system"
	}
	if a.Source != "" {
		text += " " + a.Source
	}
	if a.MountRoot != "" && a.MountRoot != "/" {
		text += " (its part " + a.MountRoot + ")"
	}
	if a.MountPoint != "" {
		text += " mounted at " + a.MountPoint
	}
	if a.Inode == 0 {
		return text + ", directory still to be made"
	}
	return text + fmt.Sprintf(", directory inode %d", a.Inode)
}
