package store

import (
	"context"
	"io"
	"time"
)

// Source is a store that objects are read from. All methods are safe for concurrent use, return *Error for whatever
// the provider can classify, do not retry (the caller does), and start nothing once ctx is cancelled.
type Source interface {
	// Abilities tells what this store can do. It is constant for the life of the store.
	Abilities() Abilities
	// Check proves that the store can be reached and listed, without writing: bucket or directory exist, credentials,
	// region and clock are accepted. It returns the store's own clock where it tells one, else the zero time.
	Check(ctx context.Context) (clock time.Time, err error)
	// List starts a listing at a bound. It does no I/O by itself.
	List(opts ListOptions) Lister
	// Stat returns one object with Meta and all Sums the store can tell without reading it.
	// A missing key is an error of class NotFound.
	Stat(ctx context.Context, key string) (Object, error)
	// Open reads a range of one object. The Object returned describes the content being read, with Meta.
	// With opts.IfMatch set, a changed object is an error of class Precondition.
	Open(ctx context.Context, key string, opts OpenOptions) (io.ReadCloser, Object, error)
	// Close releases connections and handles.
	Close() error
}

// Destination is a store that objects are written to. What it holds can be read back.
type Destination interface {
	Source
	// Put writes one object whole, atomically: it exists entirely or not at all, also after a crash. It returns the
	// object as the store acknowledged it, with the Sums the store reported (never sums merely computed from what was
	// sent, unless Abilities.HashedBeforeWrite says so).
	Put(ctx context.Context, key string, body Body, opts PutOptions) (Object, error)
	// Delete removes one object; a missing key is no error.
	Delete(ctx context.Context, key string) error
}

// Flusher is a Destination whose Put acknowledges before the name is durable.
type Flusher interface {
	// Flush makes durable all that was acknowledged under these keys (a file system fsyncs their directories).
	Flush(ctx context.Context, keys []string) error
}

// Multiparter is a Destination that takes one object in numbered parts.
type Multiparter interface {
	// PartLimits gives the smallest (but for the last) and largest part in bytes and the most parts of one upload.
	PartLimits() (smallest, largest int64, most int)
	// CreateUpload opens an upload and returns its ID.
	CreateUpload(ctx context.Context, key string, opts PutOptions) (id string, err error)
	// ListUploads returns the uploads open at exactly this key, ours and foreign.
	ListUploads(ctx context.Context, key string) ([]Upload, error)
	// UploadPart sends part n, counted from 1.
	UploadPart(ctx context.Context, key, id string, n int, body Body) (Part, error)
	// ListParts returns the parts that the store holds, ascending. An unknown upload is class NotFound.
	ListParts(ctx context.Context, key, id string) ([]Part, error)
	// CompleteUpload makes the object of all parts. An unknown upload is class NotFound: the caller looks with Stat.
	CompleteUpload(ctx context.Context, key, id string, parts []Part, opts PutOptions) (Object, error)
	// AbortUpload drops an upload and its parts; an unknown upload is no error.
	AbortUpload(ctx context.Context, key, id string) error
}

// Copier is a Destination that can take an object from a Source without the bytes passing here.
type Copier interface {
	// CanCopyFrom tells whether src has the same endpoint, region and credentials.
	CanCopyFrom(src Source) bool
	// CopyLimit is the largest object that Copy takes, in bytes; larger ones go by CopyPart.
	CopyLimit() int64
	// Copy copies one object, provided that it still is the version that from describes. The metadata stays the source's
	// where from.Meta is nil or equals opts.Meta; else opts.Meta takes its place.
	Copy(ctx context.Context, src Source, from Object, key string, opts PutOptions) (Object, error)
	// CopyPart copies bytes [off, off+n) of from as part number part of an upload.
	CopyPart(ctx context.Context, src Source, from Object, off, n int64, key, id string, part int) (Part, error)
}

// RangeWriter is a Destination that can write one object's ranges in parallel, in any order.
type RangeWriter interface {
	// CreateRanged prepares an object of size bytes. It exists only after Commit.
	CreateRanged(ctx context.Context, key string, size int64, opts PutOptions) (Ranged, error)
}

// Ranged is one object being written by ranges.
type Ranged interface {
	io.WriterAt
	// Commit makes the object exist, durably, under the condition of the options it was created with.
	Commit(ctx context.Context) (Object, error)
	// Abort removes what was written. After Commit it does nothing.
	Abort() error
}

// SumChooser is a Destination that tells which sums of what it is sent its answers can be compared with.
type SumChooser interface {
	// WantSums tells which sums the store reports of what it received. Any one proves the arrival; it may be none. An
	// MD5 or CRC64NVME may be reported only of content that was announced with it, a CRC64ECMA is reported of all. It
	// learns from answers, so ask before each object or part.
	WantSums() SumKinds
}

// Single is a Source whose location may name one object instead of a folder.
type Single interface {
	// Single tells whether the location names one existing object. When ok, the store is rooted at that object's
	// folder from then on, and key is the object's name in it. It is called before all other methods, at most once.
	Single(ctx context.Context) (key string, ok bool, err error)
}

// TempCleaner is a Destination that keeps temporary files beside its objects.
type TempCleaner interface {
	// RemoveTemp removes temporary files of this job's nonce and this task that a dead owner left in the directories
	// of these keys. Other tasks' files are not touched.
	RemoveTemp(ctx context.Context, task uint64, keys []string) error
}

// Renewer is a Source whose credentials can be replaced while it is in use.
type Renewer interface {
	// Renew takes other credentials for all requests that begin from now on; those under way end as they began. All empty
	// means the provider's own default chain. It sends nothing, and after an error the old ones hold.
	Renew(ctx context.Context, c Credentials) error
}

// Lister is one listing, in the order that Abilities declare.
type Lister interface {
	// Next returns the next page, never empty, and io.EOF after the last. A page is the caller's to keep.
	Next(ctx context.Context) ([]Object, error)
	// Close ends the listing early; it may be called at any time and more than once.
	Close() error
}

// ListOptions say where a listing starts and ends.
type ListOptions struct {
	From  string // bound: list keys >= From. "" or the successor (see Next) of an existing key
	To    string // hint: keys >= To are not wanted; "" means no end. A lister may return some all the same
	Page  int    // keys a page at most; 0 lets the store choose
	First int    // hint: keys of the first page, where few are expected before To; 0 is as the others
}

// OpenOptions select what Open reads.
type OpenOptions struct {
	Offset  int64  // first byte
	Length  int64  // bytes to read; < 0 reads to the end
	IfMatch string // ETag that the object must still have; "" reads whatever is there
}

// PutOptions go with a write.
type PutOptions struct {
	Meta      Metadata
	ModTime   time.Time // the content's modification time; a file system sets it on the file
	Condition Condition
	Task      uint64 // ID of the task that writes; part of temporary names
	// BeforeCommit is called right before a write becomes visible in a step of its own (rename); an error stops it.
	BeforeCommit func() error
	// Kind is KindObject, KindDir for a directory marker, or KindSymlink with Target.
	Kind   Kind
	Target string
}

// Condition is what must hold at the destination for a write to take effect; the zero value always holds.
// A store that cannot check it (Abilities.Conditional) ignores it. A refusal is an error of class Precondition.
type Condition struct {
	Absent bool   // the key must not exist
	ETag   string // the key must exist with this ETag
}

// Body is the content of one Put or part. Reader is read at most once.
type Body struct {
	Reader io.Reader
	Size   int64
	Bytes  []byte    // the whole content where it is in memory already, else nil; Reader is then ignored
	Sums   Checksums // sums known before sending; sent along where the store checks them
}

// Upload is one open multipart upload.
type Upload struct {
	ID    string
	Began time.Time // by the store's clock
}

// Part is one part of an upload as the store acknowledged it.
type Part struct {
	Number int
	Size   int64
	ETag   string
	Sums   Checksums
}

// Kind tells what a key stands for.
type Kind uint8

// The kinds of keys. Special files (sockets, devices, pipes) and symlinks that the rule skips are listed so that they
// can be counted and named with a reason; they cannot be opened.
const (
	KindObject  Kind = iota
	KindDir          // directory marker: a key that ends in "/" and has no content
	KindSymlink      // kept as a link: Target holds where it points
	KindSkipped      // listed, never copied; Reason says why
)

// Object describes one object. Listings leave Meta nil.
type Object struct {
	Key     string // relative to the store's root
	Kind    Kind
	Size    int64     // bytes
	ModTime time.Time // UTC; as precise as the store tells it
	ETag    string    // opaque, without quotes; "" where the store has none
	Sums    Checksums // of the whole content
	Meta    *Metadata // nil when not known
	Target  string    // of a KindSymlink
	Reason  string    // of a KindSkipped, such as "socket"
	// Err is set on an entry that the listing knows of but could not read, such as a directory without permission: it
	// counts as a failed object and the listing goes on. Its Kind is KindSkipped.
	Err error
	// Origin is what the source calls the object where that is not Key: the URL of a line of a URL list.
	Origin string
	// Archived is set where the object must be restored before it can be read. A listing tells it by the class alone, so an
	// object that was restored shows as archived there; Stat is exact.
	Archived bool
	// Class is the storage class as a listing tells it; the zero value where it does not. Meta has it as well.
	Class StorageClass
	// OneStream is set where the source reads an object from its start only: ranges of it cost all that comes before.
	OneStream bool
	// Written is when the destination stored the object, where ModTime does not tell (a file's ctime); zero if unknown.
	Written time.Time
}

// Name is what the source that the object is of calls it.
func (o *Object) Name() string {
	if o.Origin != "" {
		return o.Origin
	}
	return o.Key
}

// Metadata is what travels with an object besides its bytes.
type Metadata struct {
	ContentType        string
	CacheControl       string
	ContentDisposition string
	ContentEncoding    string
	ContentLanguage    string
	Expires            string            // HTTP date, verbatim
	User               map[string]string // names in lower case, without the store's header prefix
	// What follows is empty where it is unknown. Stat and Open tell Class and Encryption; Tags and Access come from a
	// Detailer, and are not for servers to guess: empty at a write means the bucket's default.
	Class      StorageClass
	Encryption Encryption
	Tags       map[string]string
	Access     Access
}

// Order is what a store promises of its listings.
type Order uint8

// The listing orders.
const (
	OrderNone  Order = iota // as it comes
	OrderBytes              // ascending by the keys' bytes
	OrderOther              // ascending by another rule
)

// Abilities are what a store can do, beyond the interfaces it implements.
type Abilities struct {
	Scheme      string // "s3", "file"
	Order       Order
	Conditional bool // Put honours Condition
	// ConditionalCreate: Put honours Condition.Absent. Conditional implies it.
	ConditionalCreate bool
	Pinned            bool          // reads with IfMatch are of one version; without it the caller stats again after reading
	Metadata          bool          // keeps Metadata
	ExactModTime      bool          // keeps ModTime as given, on the object itself
	ModTimeUnit       time.Duration // precision of ModTime in listings
	ListsByKeys       bool          // List from a bound costs one request a page (a file system instead walks directories)
	MaxKey            int           // longest whole key in bytes
	// Classes are the storage classes that a write can ask for; empty where there are none.
	Classes []StorageClass
	// Tags, Access and Encryption: a write can set them, and they can be told.
	Tags, Access, Encryption bool
	// HashedBeforeWrite: the Sums that Put returns were taken of the bytes before the write, nothing was read back.
	HashedBeforeWrite bool
}

// MTimeKey is the user metadata that records the source's modification time, in seconds since 1970 with a fraction,
// as rclone writes it (https://rclone.org/s3/#modification-times-and-hashes).
const MTimeKey = "mtime"

// Next returns the successor of a key in byte order: the bound right behind it.
func Next(key string) string { return key + "\x00" }

// After returns the key right before a bound made by Next, for stores that list "after a key", and false for the
// bound "" that has none.
func After(bound string) (string, bool) {
	if bound == "" {
		return "", false
	}
	if n := len(bound) - 1; bound[n] == 0 {
		return bound[:n], true
	}
	return bound, true
}
