package store

import (
	"context"
	"fmt"
)

// Tier says what a storage class means, in words that all vendors share, from warm to cold.
type Tier string

// The tiers. Objects in Archive and DeepArchive must be restored before they can be read.
const (
	TierUnknown     Tier = ""             // not told, or a class that nobody here knows
	TierStandard    Tier = "standard"     // read often
	TierInfrequent  Tier = "infrequent"   // read about once a month
	TierCold        Tier = "cold"         // read about once a quarter, at once all the same
	TierArchive     Tier = "archive"      // restored in minutes or hours
	TierDeepArchive Tier = "deep-archive" // restored in half a day or more
)

// warmth orders the tiers.
var warmth = map[Tier]int{TierStandard: 1, TierInfrequent: 2, TierCold: 3, TierArchive: 4, TierDeepArchive: 5}

// Archived tells whether objects of the tier must be restored before they are read.
func (t Tier) Archived() bool { return t == TierArchive || t == TierDeepArchive }

// StorageClass is a vendor's storage class; the zero value is one that was not told.
type StorageClass struct {
	Name string // as the vendor writes it: "STANDARD_IA", "Cool"
	Tier Tier
}

// StorageClasses are those of one vendor. The first of a tier is the one that classes of others become.
type StorageClasses []StorageClass

// Named finds a class by the vendor's name; a name that is not known has no tier.
func (c StorageClasses) Named(name string) StorageClass {
	for _, known := range c {
		if known.Name == name {
			return known
		}
	}
	return StorageClass{Name: name}
}

// For maps a class, of whatever vendor, to one of these: the same where name and tier agree, else the first of its tier,
// else the coldest that is warmer than its tier, and never an archive for what is no archive. exact tells that the tier stayed;
// the zero value is returned where nothing fits. A class that was not told maps to the zero value, exactly.
func (c StorageClasses) For(from StorageClass) (to StorageClass, exact bool) {
	if from == (StorageClass{}) {
		return from, true
	}
	if same := c.Named(from.Name); same == from && same.Tier != TierUnknown {
		return same, true
	}
	for _, known := range c {
		if known.Tier == from.Tier && from.Tier != TierUnknown {
			return known, true
		}
		if w := warmth[known.Tier]; w < warmth[from.Tier] && w > warmth[to.Tier] {
			to = known
		}
	}
	return to, false
}

// Access is who may read an object, as far as vendors share words for it (the canned ACLs of S3).
type Access string

// The kinds of access.
const (
	AccessUnknown       Access = ""
	AccessPrivate       Access = "private"
	AccessPublicRead    Access = "public-read"
	AccessPublicWrite   Access = "public-read-write"
	AccessAuthenticated Access = "authenticated-read" // every account of the vendor
)

// Encryption is how a store encrypts an object at rest.
type Encryption string

// The kinds of encryption. Keys never travel: a key managed by a service of one vendor becomes the default key of the other's.
const (
	EncryptionUnknown Encryption = ""        // none, or not told
	EncryptionStore   Encryption = "managed" // with keys of the store's own (SSE-S3, SSE-OSS)
	EncryptionKMS     Encryption = "kms"     // with a key of the vendor's key service
)

// Loss is one thing about an object that a destination could not keep.
type Loss struct {
	What   string // "header", "metadata", "tag", "storage class", "access", "encryption", "mtime"
	Name   string // of the header, key or tag; "" where What says it
	Reason string // such as "the store keeps no tags"
}

// String gives one line, such as `tag "color": the store keeps no tags`.
func (l Loss) String() string {
	if l.Name == "" {
		return l.What + ": " + l.Reason
	}
	return fmt.Sprintf("%s %q: %s", l.What, l.Name, l.Reason)
}

// Fitter is a Destination that can tell before a write what it will keep. All object stores are.
type Fitter interface {
	// Fit returns of m what the store can keep, in the words of the store (StorageClass is one of its own), and what is
	// lost. It sends nothing. Put, CreateUpload, Copy take what it returned without losses of their own.
	Fit(m Metadata) (Metadata, []Loss)
}

// Details are what objects have that costs a request each to be read.
type Details struct{ Tags, Access bool }

// Detailer is a Source that tells tags or access.
type Detailer interface {
	// Detail completes m with what is wanted and the store has. Grants that Access has no word for are losses.
	Detail(ctx context.Context, key string, want Details, m *Metadata) ([]Loss, error)
}

// Restorer is a Source that brings archived objects back to be read.
type Restorer interface {
	// Restore asks for an object to be readable for some days. It returns at once; Stat tells by Object.Archived when it is
	// done. Asked again while it is under way, or for what is readable, it is no error. speed is the vendor's own word, "" its
	// default.
	Restore(ctx context.Context, key string, days int, speed string) error
}
