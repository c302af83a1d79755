package transfer

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Text is text that does not change while a pass reads it, from any place in it on.
type Text interface {
	// Stat tells its size in bytes, and a name of this version that no other version of it has.
	Stat(ctx context.Context) (size int64, version string, err error)
	// Open reads that version from a place on; another version is an error of class Changed.
	Open(ctx context.Context, version string, off int64) (io.ReadCloser, error)
	Close() error
}

// textChanged is the error of a list that is not what it was when the pass began.
func textChanged() error {
	return &store.Error{Op: "read list", Class: store.Changed, Err: errors.New("the list changed since the pass began; start the job again")}
}

// StoreText is a list that is an object of a store. The store is closed with it.
func StoreText(s store.Source, key string) Text { return &storeText{s, key} }

type storeText struct {
	s   store.Source
	key string
}

func (t *storeText) Stat(ctx context.Context) (int64, string, error) {
	o, err := t.s.Stat(ctx, t.key)
	if err != nil {
		return 0, "", fmt.Errorf("look at the list: %w", err)
	}
	if o.ETag == "" && o.ModTime.IsZero() {
		return 0, "", &store.Error{Op: "read list", Class: store.Misconfigured,
			Err: errors.New("the server tells neither an ETag nor a time of the list, so that nobody could see it change; download it, and name the file")}
	}
	return o.Size, textVersion(&o), nil
}

// textVersion has the size in it even where there is an ETag: some servers make ETags of little else than the time.
func textVersion(o *store.Object) string { return strconv.FormatInt(o.Size, 10) + "-" + versionOf(o) }

func (t *storeText) Open(ctx context.Context, version string, off int64) (io.ReadCloser, error) {
	r, o, err := t.s.Open(ctx, t.key, store.OpenOptions{Offset: off, Length: -1})
	if err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	if o.Size < 0 { // not told before it is read to its end
		size, _, _ := strings.Cut(version, "-")
		if o.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
			o.Size = -1
		}
	}
	if textVersion(&o) != version {
		return nil, errors.Join(textChanged(), r.Close())
	}
	return r, nil
}

func (t *storeText) Close() error { return t.s.Close() }

// FileText is a list in a file of this machine.
func FileText(path string) Text { return fileText(path) }

type fileText string

func (t fileText) Stat(context.Context) (int64, string, error) {
	info, err := os.Stat(string(t))
	if err != nil {
		return 0, "", fmt.Errorf("open the list: %w", err)
	}
	if !info.Mode().IsRegular() {
		return 0, "", fmt.Errorf("open the list: %s is not a file", string(t))
	}
	return info.Size(), fileVersion(info), nil
}

func fileVersion(info os.FileInfo) string {
	return fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano())
}

func (t fileText) Open(_ context.Context, version string, off int64) (io.ReadCloser, error) {
	f, err := os.Open(string(t))
	if err != nil {
		return nil, fmt.Errorf("open the list: %w", err)
	}
	info, err := f.Stat()
	if err == nil && fileVersion(info) != version {
		err = textChanged()
	}
	if err == nil {
		_, err = f.Seek(off, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (t fileText) Close() error { return nil }

// textPiece is how much of a text goes into one segment, in bytes; it stays below MaxSegment even if it cannot be compressed.
const textPiece = advanceText

// PackText puts a text into the spool, in segments that end with a line, and returns the name of the segment that lists
// them. The same text gives the same name. put is Spool.Put, or something that only names what it is given.
func PackText(ctx context.Context, r io.Reader, put func(context.Context, []byte) ([32]byte, error)) (name [32]byte, err error) {
	var index bytes.Buffer
	buf := make([]byte, textPiece)
	rest := 0
	for {
		n, err := io.ReadFull(r, buf[rest:])
		end := rest + n
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return name, fmt.Errorf("read the list: %w", err)
		}
		keep := end
		if !last {
			if keep = bytes.LastIndexByte(buf[:end], '\n') + 1; keep == 0 {
				return name, errLineTooLong
			}
		}
		if keep > 0 {
			data, err := compress(buf[:keep])
			if err != nil {
				return name, err
			}
			piece, err := put(ctx, data)
			if err != nil {
				return name, err
			}
			fmt.Fprintf(&index, "%x\t%d\n", piece, keep)
		}
		if last {
			break
		}
		rest = copy(buf, buf[keep:end])
	}
	data, err := compress(index.Bytes())
	if err != nil {
		return name, err
	}
	return put(ctx, data)
}

// SpoolText is a text that PackText put into the spool.
func SpoolText(s Spool, name [32]byte) Text { return &spoolText{s, name} }

type spoolText struct {
	spool Spool
	name  [32]byte
}

// textPart is one segment of a text.
type textPart struct {
	name [32]byte
	size int64
}

// TextSegments lists the segments that a text in the spool consists of, without the one that lists them.
func TextSegments(ctx context.Context, s Spool, name [32]byte) ([][32]byte, error) {
	pieces, err := (&spoolText{s, name}).pieces(ctx)
	names := make([][32]byte, len(pieces))
	for i := range pieces {
		names[i] = pieces[i].name
	}
	return names, err
}

func (t *spoolText) pieces(ctx context.Context) ([]textPart, error) {
	data, err := t.spool.Get(ctx, t.name)
	if err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	text, err := decompress(data)
	if err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	var pieces []textPart
	for line := range strings.Lines(string(text)) {
		p := textPart{}
		digits, size, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		n, err := hex.Decode(p.name[:], []byte(digits[:min(len(digits), 2*len(p.name))]))
		if err == nil {
			p.size, err = strconv.ParseInt(size, 10, 64)
		}
		if err != nil || n != len(p.name) || p.size < 0 || p.size > maxSegmentText {
			return nil, errors.New("read the list: the segment that should list its parts does not")
		}
		pieces = append(pieces, p)
	}
	return pieces, nil
}

func (t *spoolText) Stat(ctx context.Context) (size int64, version string, err error) {
	pieces, err := t.pieces(ctx)
	for i := range pieces {
		size += pieces[i].size
	}
	return size, hex.EncodeToString(t.name[:]), err
}

func (t *spoolText) Open(ctx context.Context, version string, off int64) (io.ReadCloser, error) {
	if version != hex.EncodeToString(t.name[:]) {
		return nil, textChanged()
	}
	pieces, err := t.pieces(ctx)
	if err != nil {
		return nil, err
	}
	for len(pieces) > 0 && off >= pieces[0].size {
		off -= pieces[0].size
		pieces = pieces[1:]
	}
	return &spoolReader{ctx: ctx, spool: t.spool, pieces: pieces, skip: off}, nil
}

func (t *spoolText) Close() error { return nil }

// spoolReader reads one segment after the other.
type spoolReader struct {
	ctx    context.Context
	spool  Spool
	pieces []textPart // not yet read
	skip   int64      // of the next one
	text   []byte
}

// Read implements io.Reader.
func (r *spoolReader) Read(p []byte) (int, error) {
	for len(r.text) == 0 {
		if len(r.pieces) == 0 {
			return 0, io.EOF
		}
		data, err := r.spool.Get(r.ctx, r.pieces[0].name)
		if err != nil {
			return 0, fmt.Errorf("read the list: %w", err)
		}
		text, err := decompress(data)
		if err != nil {
			return 0, fmt.Errorf("read the list: %w", err)
		}
		if int64(len(text)) != r.pieces[0].size {
			return 0, errors.New("read the list: a segment is not as long as it should be")
		}
		r.text, r.skip, r.pieces = text[r.skip:], 0, r.pieces[1:]
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// Close does nothing.
func (r *spoolReader) Close() error { return nil }
