package azblob

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"io"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// The name of a block is 48 bytes before base64, for all blocks of a blob must have names of one length:
//
//	8   "brigade1"
//	4   when the upload began, seconds since 1970
//	15  nonce of the upload
//	4   number of the part
//	1   what the sum is: 0 none, 5 MD5, 6 CRC64NVME
//	16  the sum that the service checked when the block arrived
//
// The first three make the upload's ID, in hexadecimal. Part 0 is the block that CreateUpload makes, so that an upload without
// parts is found again; one of an aborted upload has the highest number. The list of blocks tells no sums; what stands in
// the name was announced with the content, which the service refuses where it differs.
const (
	uploadFormat = "brigade1"
	nonceSize    = 15
	headSize     = len(uploadFormat) + 4 + nonceSize
	nameSize     = headSize + 4 + 1 + 16
	markerPart   = 0
	abortedPart  = 1<<31 - 1

	sumNone  = 0
	sumMD5   = 5
	sumCRC64 = 6
)

// uploadHead is what the names of an upload's blocks begin with.
type uploadHead [headSize]byte

// newUpload makes up an upload.
func newUpload(began time.Time, random io.Reader) (uploadHead, error) {
	var h uploadHead
	copy(h[:], uploadFormat)
	binary.BigEndian.PutUint32(h[len(uploadFormat):], uint32(began.Unix()))
	_, err := io.ReadFull(random, h[len(uploadFormat)+4:])
	return h, err
}

// id is how the caller knows the upload.
func (h uploadHead) id() string { return uploadFormat + hex.EncodeToString(h[len(uploadFormat):]) }

// began is when the upload was begun.
func (h uploadHead) began() time.Time {
	return time.Unix(int64(binary.BigEndian.Uint32(h[len(uploadFormat):])), 0).UTC()
}

// parseID reads an upload's ID; ok is false for what is none.
func parseID(id string) (h uploadHead, ok bool) {
	if len(id) != len(uploadFormat)+2*(headSize-len(uploadFormat)) || id[:len(uploadFormat)] != uploadFormat {
		return h, false
	}
	copy(h[:], uploadFormat)
	_, err := hex.Decode(h[len(uploadFormat):], []byte(id[len(uploadFormat):]))
	return h, err == nil
}

// blockName is the name of a part's block, as requests and lists have it.
func blockName(h uploadHead, part int, checked store.Checksums) string {
	raw := make([]byte, nameSize)
	copy(raw, h[:])
	binary.BigEndian.PutUint32(raw[headSize:], uint32(part))
	switch {
	case checked.MD5 != "":
		raw[headSize+4] = sumMD5
		copy(raw[headSize+5:], checked.MD5)
	case checked.CRC64NVME != "":
		raw[headSize+4] = sumCRC64
		copy(raw[headSize+5:], checked.CRC64NVME)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// parseBlock reads the name of a block; ok is false for those of others.
func parseBlock(name string) (h uploadHead, part int, checked store.Checksums, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(name)
	if err != nil || len(raw) != nameSize || string(raw[:len(uploadFormat)]) != uploadFormat {
		return h, 0, checked, false
	}
	copy(h[:], raw)
	number := binary.BigEndian.Uint32(raw[headSize:])
	switch raw[headSize+4] {
	case sumNone:
	case sumMD5:
		checked.MD5 = string(raw[headSize+5:])
	case sumCRC64:
		checked.CRC64NVME = string(raw[headSize+5 : headSize+13])
	default:
		return h, 0, checked, false
	}
	return h, int(number), checked, number <= abortedPart
}

// mostAborted is how many aborted uploads are remembered.
const mostAborted = 10000

// aborted remembers which uploads were aborted here: Azure would take blocks of them all the same. Those that another
// process aborted are told apart when the list of blocks is read, at the latest before it is committed.
type aborted struct {
	mu    sync.Mutex
	ids   map[string]struct{}
	order []string
}

func (a *aborted) add(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.ids[id]; known {
		return
	}
	if a.ids == nil {
		a.ids = make(map[string]struct{})
	}
	a.ids[id] = struct{}{}
	if a.order = append(a.order, id); len(a.order) > mostAborted {
		delete(a.ids, a.order[0])
		a.order = a.order[1:]
	}
}

func (a *aborted) has(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, known := a.ids[id]
	return known
}
