package faults

import (
	"context"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/s3op"
)

// Listing is an answer to ListObjectsV2 that a Lie may change. It comes as the server behind the proxy has its keys.
type Listing struct {
	Asked    url.Values // the query
	Entries  []Entry
	More     bool   // IsTruncated
	Token    string // of the next page
	Count    int    // KeyCount
	Encoding string // "url": keys are encoded, as they are asked for
	Echo     string // EncodingType of the answer
	Extra    string // XML besides

	page func(after string) (*Listing, error)
}

// Entry is one object in it.
type Entry struct {
	Key      string
	Size     int64
	ETag     string // without quotes
	Modified time.Time
}

// From gives the honest page behind a key.
func (l *Listing) From(after string) *Listing {
	p, err := l.page(after)
	if err != nil {
		panic(http.ErrAbortHandler) // the client sees a broken connection, and the test its failure
	}
	return p
}

// list answers a listing in pages of the fault's own size, changed as it likes.
func (p *Proxy) list(w http.ResponseWriter, r *http.Request, q s3op.Request, f *Fault) {
	page := func(after string) (*Listing, error) { return p.honest(r.Context(), q, f.PageSize, after) }
	after := q.Query.Get("start-after")
	if token := q.Query.Get("continuation-token"); token != "" {
		last, err := hex.DecodeString(strings.TrimLeft(token, "-"))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		after = string(last)
	}
	l, err := page(after)
	if err != nil {
		reset(w)
		return
	}
	l.page = page
	if f.Lie != nil {
		f.Lie(l)
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	w.Write([]byte(l.document(q.Bucket)))
}

// honest asks the server behind the proxy. Tokens are the last key, so that a Lie can make its own.
func (p *Proxy) honest(ctx context.Context, q s3op.Request, size int, after string) (*Listing, error) {
	most := 1000
	if n, err := strconv.Atoi(q.Query.Get("max-keys")); err == nil {
		most = n
	}
	if size > 0 {
		most = min(most, size)
	}
	in := &s3.ListObjectsV2Input{Bucket: &q.Bucket, Prefix: aws.String(q.Query.Get("prefix")), MaxKeys: aws.Int32(int32(most))}
	if after != "" {
		in.StartAfter = &after
	}
	out, err := p.client.ListObjectsV2(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("list behind the proxy: %w", err)
	}
	l := &Listing{Asked: q.Query, More: aws.ToBool(out.IsTruncated), Count: len(out.Contents), Encoding: q.Query.Get("encoding-type")}
	l.Echo = l.Encoding
	for _, o := range out.Contents {
		l.Entries = append(l.Entries, Entry{aws.ToString(o.Key), aws.ToInt64(o.Size), strings.Trim(aws.ToString(o.ETag), `"`), aws.ToTime(o.LastModified)})
	}
	if n := len(l.Entries); l.More && n > 0 {
		l.Token = hex.EncodeToString([]byte(l.Entries[n-1].Key))
	}
	return l, nil
}

// document is the answer as it is sent.
func (l *Listing) document(bucket string) string {
	var b strings.Builder
	text := func(name, value string) {
		b.WriteString("<" + name + ">")
		xml.EscapeText(&b, []byte(value))
		b.WriteString("</" + name + ">")
	}
	b.WriteString(xml.Header + "<ListBucketResult>")
	text("Name", bucket)
	text("KeyCount", strconv.Itoa(l.Count))
	text("IsTruncated", strconv.FormatBool(l.More))
	if l.Echo != "" {
		text("EncodingType", l.Echo)
	}
	if l.Token != "" {
		text("NextContinuationToken", l.Token)
	}
	for _, e := range l.Entries {
		b.WriteString("<Contents>")
		key := e.Key
		if l.Encoding == "url" {
			key = url.QueryEscape(key)
		}
		text("Key", key)
		text("Size", strconv.FormatInt(e.Size, 10))
		text("ETag", `"`+e.ETag+`"`)
		text("LastModified", e.Modified.UTC().Format(time.RFC3339Nano))
		b.WriteString("</Contents>")
	}
	b.WriteString(l.Extra + "</ListBucketResult>")
	return b.String()
}
