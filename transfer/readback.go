package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// readSums reads one object whole and returns the sums of its content.
func (n *Node) readSums(ctx context.Context, s store.Source, o *store.Object, lease Lease, count func(int)) (store.Checksums, error) {
	var sums store.Checksums
	err := n.retry(ctx, lease, func() (err error) {
		sums, err = n.readSumsOnce(ctx, s, o, lease, count)
		return err
	})
	return sums, err
}

func (n *Node) readSumsOnce(ctx context.Context, s store.Source, o *store.Object, lease Lease, count func(int)) (store.Checksums, error) {
	ended := n.began(s, opGet)
	body, _, err := s.Open(ctx, o.Name(), store.OpenOptions{Length: -1, IfMatch: o.ETag})
	if ended(err) != nil {
		return store.Checksums{}, err
	}
	defer body.Close()
	buf, err := n.Memory.Get(ctx, n.Tuning.StreamBuffer)
	if err != nil {
		return store.Checksums{}, fmt.Errorf("wait for a buffer: %w", err)
	}
	defer n.Memory.Put(buf)
	h := newHasher(wanted{md5: true, crc64: true, crc32c: true, ecma: true})
	for {
		m, err := body.Read(buf)
		h.add(buf[:m])
		n.readFrom(s, m)
		count(m)
		moved(lease, m)
		if stop := pay(ctx, lease, int64(m)); stop != nil {
			return store.Checksums{}, canceled(stop)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return store.Checksums{}, fmt.Errorf("read %q: %w", o.Key, err)
		}
	}
	if h.size != o.Size {
		return store.Checksums{}, &store.Error{Op: "read", Key: o.Key, Class: store.Changed,
			Err: fmt.Errorf("%d bytes were read of %d", h.size, o.Size)}
	}
	return h.sums(), nil
}
