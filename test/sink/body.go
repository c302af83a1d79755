package sink

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// readBody reads the content of a PUT or part, hashes it, and verifies whatever the client sent to verify it by. With
// algorithm set, that checksum is computed even where the client sends none.
func (s *Server) readBody(r *request, algorithm string) (*object, *apiError) {
	sent, want := sentAlgorithm(r.Header)
	if sent != "" {
		algorithm = sent
	}
	size := contentLength(r)
	if size > maxPut {
		return nil, errEntityTooLarge
	}
	var body io.Reader = http.MaxBytesReader(nil, r.Body, maxPut+maxPut/8) // the eighth is for chunk headers
	var chunks *chunkReader
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		chunks = &chunkReader{r: bufio.NewReaderSize(body, 64<<10)}
		body = chunks
	}
	o, sum, aerr := s.consume(body, size, newHash(algorithm))
	if aerr != nil {
		return nil, aerr
	}
	if chunks != nil && sent != "" && want == "" {
		want = chunks.trailer.Get(checksumHeader + sent)
	}
	if v := r.Header.Get("Content-Md5"); v != "" {
		raw, err := base64.StdEncoding.DecodeString(v)
		if err != nil || len(raw) != md5.Size {
			return nil, errInvalidDigest
		}
		if hex.EncodeToString(raw) != o.etag {
			return nil, errBadDigest
		}
	}
	if algorithm != "" {
		o.sums = checksums{algorithm: algorithm, value: base64.StdEncoding.EncodeToString(sum)}
		if want != "" && want != o.sums.value {
			return nil, errBadDigest
		}
	}
	return o, nil
}

// contentLength is the size that the client announced, -1 where it did not.
func contentLength(r *request) int64 {
	if v := r.Header.Get("X-Amz-Decoded-Content-Length"); v != "" {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 {
			return n
		}
	}
	return r.ContentLength
}

// consume reads a body to its end. size is checked where it is known.
func (s *Server) consume(body io.Reader, size int64, extra hash.Hash) (o *object, sum []byte, aerr *apiError) {
	h := md5.New()
	writers := []io.Writer{h}
	if extra != nil {
		writers = append(writers, extra)
	}
	var data *bytes.Buffer
	if s.opts.Keep > 0 {
		reserve := max(size, 0)
		if s.kept.Add(reserve) > s.opts.Keep {
			s.kept.Add(-reserve)
			return nil, nil, errInsufficientMemory
		}
		data = bytes.NewBuffer(make([]byte, 0, reserve))
		writers = append(writers, data)
		defer func() {
			if aerr != nil {
				s.kept.Add(-reserve)
			}
		}()
	}
	n, err := s.copyTo(writers, body)
	s.count.in.Add(n)
	if err != nil || size >= 0 && n != size {
		return nil, nil, errIncompleteBody
	}
	o = &object{size: n, etag: hex.EncodeToString(h.Sum(nil))}
	if data != nil {
		o.data = data.Bytes()
	}
	if extra != nil {
		sum = extra.Sum(nil)
	}
	return o, sum, nil
}

func (s *Server) copyTo(writers []io.Writer, body io.Reader) (n int64, err error) {
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	for {
		m, err := body.Read(*buf)
		for _, w := range writers {
			w.Write((*buf)[:m])
		}
		n += int64(m)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// chunkReader reads a body of S3's own chunked encoding
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html); signatures of chunks are skipped.
type chunkReader struct {
	r       *bufio.Reader
	left    int64 // bytes of the current chunk
	inside  bool  // a chunk was begun, its line end is still to come
	done    bool
	trailer http.Header
}

var errChunk = errors.New("malformed chunk")

func (c *chunkReader) Read(p []byte) (int, error) {
	if c.done {
		return 0, io.EOF
	}
	if c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
		if c.done {
			return 0, io.EOF
		}
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next reads a chunk's header, and the trailers behind the last one.
func (c *chunkReader) next() error {
	if c.inside {
		if line, err := c.line(); err != nil || line != "" {
			return errChunk
		}
	}
	line, err := c.line()
	if err != nil {
		return err
	}
	digits, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseInt(digits, 16, 64)
	if err != nil || n < 0 {
		return errChunk
	}
	if n > 0 {
		c.left, c.inside = n, true
		return nil
	}
	return c.trailers()
}

func (c *chunkReader) trailers() error {
	c.done, c.trailer = true, http.Header{}
	for {
		line, err := c.line()
		if errors.Is(err, io.EOF) || err == nil && line == "" {
			return nil
		}
		if err != nil {
			return err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || len(c.trailer) > 10 {
			return errChunk
		}
		c.trailer.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
}

func (c *chunkReader) line() (string, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}
