package transfer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// Record is the audit record of one object, and one line of a segment of failed keys.
type Record struct {
	Key       string            `json:"key"`
	KeyBase64 []byte            `json:"key_base64,omitempty"` // the exact bytes where key is not valid UTF-8
	Outcome   Outcome           `json:"outcome"`
	Size      int64             `json:"size"`
	ModTime   time.Time         `json:"mtime,omitzero"`
	Version   string            `json:"version,omitempty"` // source version or ETag
	Sums      map[string]string `json:"sums,omitempty"`    // of the bytes that passed through the node
	ETag      string            `json:"etag,omitempty"`    // at the destination
	Source    string            `json:"source_checked,omitempty"`
	Sent      string            `json:"sent_checked,omitempty"`
	Listed    bool              `json:"listed,omitempty"` // found in the destination's listing afterwards
	Recovered bool              `json:"recovered,omitempty"`
	How       string            `json:"how,omitempty"`
	Class     string            `json:"class,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Nonce     string            `json:"nonce,omitempty"`
	Task      uint64            `json:"task,omitempty"`
	Epoch     uint64            `json:"epoch,omitempty"`
	Node      string            `json:"node,omitempty"`
	At        time.Time         `json:"at,omitzero"`
	Attempts  int               `json:"attempts,omitempty"`
	Lost      []string          `json:"lost,omitempty"`      // what the destination did not keep, one line each
	Origin    string            `json:"origin,omitempty"`    // what the source calls it where that is not the key
	WantSize  *int64            `json:"want_size,omitempty"` // what the list that named it said
	WantMD5   []byte            `json:"want_md5,omitempty"`
}

// SetKey stores a key so that its exact bytes survive JSON.
func (r *Record) SetKey(key string) {
	r.Key, r.KeyBase64 = key, nil
	if !utf8.ValidString(key) {
		r.KeyBase64 = []byte(key)
	}
}

// ExactKey returns the key's exact bytes.
func (r *Record) ExactKey() string {
	if r.KeyBase64 != nil {
		return string(r.KeyBase64)
	}
	return r.Key
}

// MaxSegment bounds a segment in the spool, in bytes after compression.
const MaxSegment = 4 << 20

// maxSegmentText bounds what a segment may unpack to, so that a bad one cannot fill the memory.
const maxSegmentText = 64 << 20

// compressWindow is how far back compression looks, in bytes. Lines are like those close before them; the window of 4 MiB that
// is usual would take 8 MiB for each segment.
const compressWindow = 1 << 20

// compress packs text as one zstd frame; frames may be concatenated.
func compress(text []byte) ([]byte, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(compressWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	defer enc.Close()
	return enc.EncodeAll(text, nil), nil
}

// decompress unpacks one segment.
func decompress(data []byte) ([]byte, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSegmentText))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	defer dec.Close()
	text, err := dec.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack segment: %w", err)
	}
	return text, nil
}

// EncodeRecords packs records as a segment.
func EncodeRecords(records []Record) ([]byte, error) {
	var lines recordLines
	for i := range records {
		if err := lines.add(&records[i]); err != nil {
			return nil, err
		}
	}
	return compress(lines.text)
}

// RecordLines yields the records of a segment as they stand in it: each is the JSON of a Record, without the end of its
// line. A line is valid until the next one.
func RecordLines(data []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		text, err := decompress(data)
		if err != nil {
			yield(nil, err)
			return
		}
		for line := range bytes.Lines(text) {
			if !yield(bytes.TrimSuffix(line, []byte("\n")), nil) {
				return
			}
		}
	}
}

// DecodeRecords yields the records of a segment.
func DecodeRecords(data []byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		text, err := decompress(data)
		if err != nil {
			yield(Record{}, err)
			return
		}
		dec := json.NewDecoder(bufio.NewReader(bytes.NewReader(text)))
		for {
			var r Record
			err := dec.Decode(&r)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Record{}, fmt.Errorf("decode record: %w", err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}
