package transfer

import (
	"crypto/sha1"
	"hash"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// What QETags are made of (https://github.com/qiniu/qetag). The first byte tells which of the three kinds it is.
const (
	qetagBlock = 4 << 20 // bytes
	qetagOne   = 0x16    // of one block: its SHA-1
	qetagTree  = 0x96    // of more: the SHA-1 of their SHA-1s
	qetagParts = 0x9e    // of an upload in other parts than blocks: the SHA-1 of what the parts' QETags have behind their first byte
	qetagSize  = 1 + sha1.Size
)

// reportsQETags tells that the destination does.
func reportsQETags(job *Job) bool {
	by, ok := job.Destination.(store.SumChooser)
	return ok && by.WantSums().QETag
}

// qetagHasher computes the SHA-1s of the blocks of what is written to it.
type qetagHasher struct {
	block  hash.Hash
	filled int // bytes of the block at hand
	blocks []byte
}

func newQETagHasher() *qetagHasher { return &qetagHasher{block: sha1.New()} }

// add takes the next bytes.
func (q *qetagHasher) add(p []byte) {
	for len(p) > 0 {
		n := min(len(p), qetagBlock-q.filled)
		q.block.Write(p[:n])
		p = p[n:]
		if q.filled += n; q.filled == qetagBlock {
			q.blocks = q.block.Sum(q.blocks)
			q.block.Reset()
			q.filled = 0
		}
	}
}

// sums returns the QETag of all bytes so far, and what it is made of.
func (q *qetagHasher) sums() store.Checksums {
	blocks := string(q.blocks)
	if q.filled > 0 || blocks == "" {
		blocks += string(q.block.Sum(nil))
	}
	return store.Checksums{QETag: qetagOf(blocks), QBlocks: blocks}
}

// qetagOf makes a QETag of the SHA-1s of all blocks.
func qetagOf(blocks string) string {
	if len(blocks) == sha1.Size {
		return string([]byte{qetagOne}) + blocks
	}
	return taggedSHA1(qetagTree, blocks)
}

func taggedSHA1(kind byte, text string) string {
	sum := sha1.Sum([]byte(text))
	return string(append([]byte{kind}, sum[:]...))
}

// combineQETags computes what is known of a whole from the QETags of its parts, in order: its own where the parts are whole
// blocks, and the one of an upload in these parts where they are anything else than blocks.
func combineQETags(parts []store.Part) store.Checksums {
	var blocks, tags []byte
	whole, known, areBlocks := true, true, true
	for i, p := range parts {
		last := i == len(parts)-1
		areBlocks = areBlocks && (last || p.Size == qetagBlock)
		if known = known && len(p.Sums.QETag) == qetagSize; known {
			tags = append(tags, p.Sums.QETag[1:]...)
		}
		own := p.Sums.QBlocks
		if own == "" && p.Size <= qetagBlock && known {
			own = p.Sums.QETag[1:]
		}
		whole = whole && own != "" && (last || p.Size%qetagBlock == 0) && int64(len(own)) == max(ceilDiv(p.Size, qetagBlock), 1)*sha1.Size
		if whole {
			blocks = append(blocks, own...)
		}
	}
	var s store.Checksums
	if whole && len(parts) > 0 {
		s.QETag = qetagOf(string(blocks))
	}
	if known && !areBlocks {
		s.PartsQETag = taggedSHA1(qetagParts, string(tags))
	}
	return s
}
