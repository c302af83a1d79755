package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// maxEmptyPages is how many pages without a key may follow each other before a listing is distrusted.
const maxEmptyPages = 1000

// List implements store.Source.
func (s *Store) List(opts store.ListOptions) store.Lister {
	l := &lister{s: s, opts: opts, size: pageSize}
	if opts.Page > 0 {
		l.size = min(opts.Page, pageSize)
	}
	if after, ok := store.After(opts.From); ok {
		l.after = s.prefix + after
		l.last, l.hasLast = after, true
	}
	return l
}

// lister reads pages in order, one ahead of the caller.
type lister struct {
	s     *Store
	opts  store.ListOptions
	size  int
	after string // full key to start behind, of the first page
	token string // of the next page

	last    string // key before the next one, relative
	hasLast bool
	ended   bool
	closed  bool
	broken  error // final: the listing is not to be believed

	ahead *fetch // the page under way, if any
}

// fetch is one page being fetched in a goroutine that the lister waits for.
type fetch struct {
	cancel context.CancelFunc
	done   chan struct{}
	out    *s3.ListObjectsV2Output
	err    error
}

// Next implements store.Lister. After an error that may pass, it asks for the same page again.
func (l *lister) Next(ctx context.Context) ([]store.Object, error) {
	for range maxEmptyPages {
		switch {
		case l.broken != nil:
			return nil, l.broken
		case l.closed, l.ended:
			return nil, io.EOF
		case ctx.Err() != nil:
			return nil, l.s.wrap(ctx, "list", "", ctx.Err())
		}
		out, err := l.page(ctx)
		if err != nil {
			return nil, l.s.wrap(ctx, "list", "", err)
		}
		objects, err := l.accept(out)
		if err != nil {
			l.broken = &store.Error{Op: "list", Class: store.Permanent, Hint: "this listing cannot be trusted", Err: fmt.Errorf("listing out of order: %w", err)}
			return nil, l.broken
		}
		if !l.ended {
			l.start(ctx)
		}
		if len(objects) > 0 {
			return objects, nil
		}
	}
	l.stop()
	l.broken = &store.Error{Op: "list", Class: store.Permanent, Err: fmt.Errorf("listing gave %d empty pages in a row", maxEmptyPages)}
	return nil, l.broken
}

// page waits for the page under way, or starts it.
func (l *lister) page(ctx context.Context) (*s3.ListObjectsV2Output, error) {
	if l.ahead == nil {
		l.start(ctx)
	}
	f := l.ahead
	select {
	case <-f.done:
	case <-ctx.Done():
		l.stop()
		return nil, ctx.Err()
	}
	l.ahead = nil
	f.cancel()
	return f.out, f.err
}

// start fetches the next page. The fetch outlives the call of Next that started it, so it ends with the lister or its
// own time limits, not with that call's ctx.
func (l *lister) start(ctx context.Context) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &fetch{cancel: cancel, done: make(chan struct{})}
	in := &s3.ListObjectsV2Input{
		Bucket: &l.s.bucket, Prefix: &l.s.prefix, EncodingType: types.EncodingTypeUrl, MaxKeys: aws.Int32(int32(l.size)),
	}
	if l.token != "" {
		in.ContinuationToken = aws.String(l.token)
	} else if l.after != "" {
		in.StartAfter = aws.String(l.after)
	}
	l.ahead = f
	go func() {
		defer close(f.done)
		f.out, f.err = l.s.api.ListObjectsV2(own, in)
	}()
}

// stop ends the fetch under way and waits for it.
func (l *lister) stop() {
	if l.ahead != nil {
		l.ahead.cancel()
		<-l.ahead.done
		l.ahead = nil
	}
}

// Close implements store.Lister.
func (l *lister) Close() error {
	l.closed = true
	l.stop()
	return nil
}

// accept checks a page and moves on to the next.
func (l *lister) accept(out *s3.ListObjectsV2Output) ([]store.Object, error) {
	decode := out.EncodingType == types.EncodingTypeUrl
	objects := make([]store.Object, 0, len(out.Contents))
	for i := range out.Contents {
		o, err := l.object(&out.Contents[i], decode)
		if err != nil {
			return nil, err
		}
		if l.hasLast && o.Key <= l.last {
			return nil, fmt.Errorf("key %q after %q", clip(o.Key, 200), clip(l.last, 200))
		}
		l.last, l.hasLast = o.Key, true
		if l.opts.To != "" && o.Key >= l.opts.To {
			l.ended = true
			return objects, nil
		}
		objects = append(objects, o)
	}
	return objects, l.advance(out)
}

// advance finds out whether there is a next page.
func (l *lister) advance(out *s3.ListObjectsV2Output) error {
	if !aws.ToBool(out.IsTruncated) {
		l.ended = true
		return nil
	}
	token := aws.ToString(out.NextContinuationToken)
	if token == "" {
		return errors.New("more keys announced, but no continuation token")
	}
	if token == l.token {
		return errors.New("the continuation token repeats")
	}
	l.token = token
	return nil
}

// object reads one entry.
func (l *lister) object(e *types.Object, decode bool) (store.Object, error) {
	key, size := aws.ToString(e.Key), aws.ToInt64(e.Size)
	if decode {
		plainKey, err := url.QueryUnescape(key) // a space comes as "+"
		if err != nil {
			return store.Object{}, fmt.Errorf("key %q: %w", clip(key, 200), err)
		}
		key = plainKey
	}
	rel, ok := strings.CutPrefix(key, l.s.prefix)
	if !ok {
		return store.Object{}, fmt.Errorf("key %q is outside the prefix %q", clip(key, 200), clip(l.s.prefix, 200))
	}
	if size < 0 {
		return store.Object{}, fmt.Errorf("key %q has %d bytes", clip(key, 200), size)
	}
	etag := unquote(aws.ToString(e.ETag))
	return store.Object{
		Key: rel, Kind: l.s.kindOf(rel, size), Size: size, ModTime: aws.ToTime(e.LastModified).UTC(),
		ETag: etag, Sums: l.s.sumsOfETag(etag),
	}, nil
}
