package transfer

import (
	"errors"
	"io"
	"reflect"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// The operations that a Watcher hears of.
const (
	opList           = "list" // one page
	opStat           = "stat"
	opGet            = "get" // until the content begins
	opPut            = "put"
	opDelete         = "delete"
	opCopy           = "copy" // by the store itself
	opFlush          = "flush"
	opCreateUpload   = "create_upload"
	opUploadPart     = "upload_part"
	opCopyPart       = "copy_part"
	opListUploads    = "list_uploads"
	opListParts      = "list_parts"
	opCompleteUpload = "complete_upload"
	opAbortUpload    = "abort_upload"
	opCreateRanged   = "create_ranged"
	opCommit         = "commit"
	opCleanTemp      = "clean_temp"
	opCheck          = "check"
)

// Watcher hears of every request that tasks send to stores, as it ends. It is called by many goroutines at once, and must not
// block. Endpoints are as Job has them.
type Watcher interface {
	// Requested tells of a request that took so long; class is "" where it succeeded.
	Requested(endpoint, operation string, class store.Class, took time.Duration)
	// Retried tells that a request, or a whole object, is tried again after a failure of a class.
	Retried(class store.Class)
	// Read and Wrote tell of bytes of content. Attempts that fail count too.
	Read(endpoint string, bytes int)
	Wrote(endpoint string, bytes int)
}

// endpoints know the names of the stores in use.
type endpoints struct {
	mu    sync.RWMutex
	named map[store.Source]*endpoint
}

// endpoint is the name of a store that some tasks use.
type endpoint struct {
	name  string
	users int
}

// use names the stores of a job until the function that it returns is called.
func (e *endpoints) use(job *Job) (end func()) {
	e.add(job.Source, job.SourceEndpoint)
	e.add(job.Destination, job.DestinationEndpoint)
	return func() {
		e.drop(job.Source)
		e.drop(job.Destination)
	}
}

func (e *endpoints) add(s store.Source, name string) {
	if !nameable(s) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.named == nil {
		e.named = map[store.Source]*endpoint{}
	}
	if e.named[s] == nil {
		e.named[s] = &endpoint{name: name}
	}
	e.named[s].users++
}

func (e *endpoints) drop(s store.Source) {
	if !nameable(s) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.named[s]; known != nil {
		if known.users--; known.users == 0 {
			delete(e.named, s)
		}
	}
}

// of is the name of a store, "" where it has none.
func (e *endpoints) of(s store.Source) string {
	if one, ok := s.(oneKey); ok {
		s = one.Source
	}
	if !nameable(s) {
		return ""
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if known := e.named[s]; known != nil {
		return known.name
	}
	return ""
}

// nameable tells whether a store can be told from others; those of providers are pointers.
func nameable(s store.Source) bool { return s != nil && reflect.TypeOf(s).Comparable() }

// began notes that a request to a store begins. The function that it returns is told how it ended, and passes that error on.
func (n *Node) began(s store.Source, operation string) (ended func(error) error) {
	if n.Watcher == nil {
		return func(err error) error { return err }
	}
	begin := n.Now()
	return func(err error) error {
		class := store.ClassOf(err)
		switch {
		case errors.Is(err, io.EOF): // the end of a listing
			class = ""
		case err != nil && isEnd(err):
			class = store.Canceled
		}
		n.Watcher.Requested(n.endpoints.of(s), operation, class, n.Now().Sub(begin))
		return err
	}
}

// blamed is how a request ended whose content was read on the way: where reading failed, the store that was written to did not.
func blamed(err, reading error) error {
	if reading != nil {
		return canceled(reading)
	}
	return err
}

// again counts an attempt after a failure.
func (n *Node) again(err error) {
	n.Meter.Retries.Add(1)
	if n.Watcher != nil {
		n.Watcher.Retried(store.ClassOf(err))
	}
}

// readFrom counts bytes of content that a store gave.
func (n *Node) readFrom(s store.Source, bytes int) {
	n.Meter.BytesRead.Add(int64(bytes))
	if n.Watcher != nil && bytes > 0 {
		n.Watcher.Read(n.endpoints.of(s), bytes)
	}
}

// wroteTo counts bytes of content on their way to a store.
func (n *Node) wroteTo(s store.Source, bytes int) {
	n.Meter.BytesWritten.Add(int64(bytes))
	if n.Watcher != nil && bytes > 0 {
		n.Watcher.Wrote(n.endpoints.of(s), bytes)
	}
}
