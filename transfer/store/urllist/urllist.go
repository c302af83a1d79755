// Package urllist reads objects by their HTTP and HTTPS URLs. It is a source only, and lists nothing by itself: keys are
// URLs, and which ones there are is said by a list of lines (see transfer.ParseURLLine).
//
// Objects are taken as they are served: a Content-Encoding is kept as metadata and never decoded, so that sizes and sums
// are those of what arrives at the destination.
package urllist

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// The options of a location; store.Parse knows them too.
const (
	optionAuthHost = "auth_host" // hosts, separated by commas, that the credentials are sent to
	optionMaxSize  = "max_size"  // bytes of an answer that does not tell its length
	headerPrefix   = "header."   // header.NAME=VALUE goes with every request
)

// Limits that hold whatever a server does.
const (
	dialTimeout    = 20 * time.Second
	idleTimeout    = 60 * time.Second // no answer begun, no byte of it come
	poolTimeout    = 90 * time.Second
	maxRedirects   = 5
	maxHeader      = 256 << 10
	maxDrain       = 64 << 10 // bytes read to save a connection
	defaultMaxSize = 1 << 30
	maxResumes     = 20 // of one body
)

// options is what a location says besides where the list is.
type options struct {
	authHosts []string
	maxSize   int64
	headers   http.Header
}

// Validate checks a location's options.
func Validate(l store.Location) error {
	if l.Path == "" {
		return errors.New("urllist: names no list; allowed: urllist:FILE or urllist:URL")
	}
	_, err := readOptions(l.Options)
	return err
}

func readOptions(values url.Values) (options, error) {
	o := options{maxSize: defaultMaxSize, headers: http.Header{}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values.Get(name)
		header, isHeader := strings.CutPrefix(name, headerPrefix)
		switch {
		case name == optionAuthHost:
			for host := range strings.SplitSeq(value, ",") {
				if host == "" || strings.ContainsAny(host, "/@ ") {
					return o, fmt.Errorf("option auth_host: %q is not a host; allowed: HOST or HOST:PORT, separated by commas", host)
				}
				o.authHosts = append(o.authHosts, strings.ToLower(host))
			}
		case name == optionMaxSize:
			size, err := strconv.ParseInt(value, 10, 64)
			if err != nil || size <= 0 {
				return o, fmt.Errorf("option max_size: %q is not a number of bytes above 0", value)
			}
			o.maxSize = size
		case isHeader:
			if err := o.addHeader(header, value); err != nil {
				return o, err
			}
		default:
			return o, fmt.Errorf("unknown option %q of urllist; known: auth_host, max_size, header.NAME", name)
		}
	}
	return o, nil
}

// addHeader refuses the headers that this package needs for itself, and those that carry secrets, for URLs are shown.
func (o *options) addHeader(name, value string) error {
	strange := func(r rune) bool { return r < ' ' || r > '~' }
	blank := func(r rune) bool { return strange(r) || strings.ContainsRune(" :()<>@,;\\\"/[]?={}", r) }
	if name == "" || strings.ContainsFunc(name, blank) || strings.ContainsFunc(value, strange) {
		return fmt.Errorf("option header.%s: not a header", name)
	}
	switch name = textproto.CanonicalMIMEHeaderKey(name); name {
	case "Authorization", "Cookie", "Proxy-Authorization":
		return fmt.Errorf("option header.%s: secrets do not go into URLs; give access_key, secret_key and auth_host", name)
	case "Host", "Range", "If-Range", "If-Match", "If-None-Match", "Accept-Encoding", "Connection", "Content-Length", "Transfer-Encoding", "Te":
		return fmt.Errorf("option header.%s: cannot be given, Brigade sets it", name)
	}
	o.headers.Set(name, value)
	return nil
}

// Store reads by URL.
type Store struct {
	client    *http.Client
	transport *http.Transport
	opts      options
	user      string
	password  string
	now       func() time.Time
	idle      time.Duration
}

// Open returns a store that reads by URL; it does no I/O.
func Open(_ context.Context, cfg store.Config) (store.Destination, error) {
	s, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func newStore(cfg store.Config) (*Store, error) {
	opts, err := readOptions(cfg.Location.Options)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, now: time.Now, idle: idleTimeout}
	if len(opts.authHosts) > 0 {
		if s.user, s.password = cfg.Credentials.AccessKey, cfg.Credentials.SecretKey; s.user == "" {
			return nil, &store.Error{Op: "open", Class: store.Misconfigured,
				Err: errors.New("auth_host names hosts, but there are no credentials to send them; give access_key and secret_key")}
		}
	}
	s.transport = newTransport(cfg.Concurrency)
	s.client = &http.Client{
		Transport:     s.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// Abilities tells what a server of files can do.
func (s *Store) Abilities() store.Abilities {
	return store.Abilities{Scheme: store.ListScheme, Order: store.OrderNone, Pinned: true, Metadata: true, ModTimeUnit: time.Second, MaxKey: 16 << 10, Sums: []string{"md5"}}
}

// Check does nothing: which servers there are is said line by line.
func (s *Store) Check(context.Context) (time.Time, error) { return time.Time{}, nil }

// List fails: a list of URLs is read as a list of lines.
func (s *Store) List(store.ListOptions) store.Lister { return noLister{} }

type noLister struct{}

func (noLister) Next(context.Context) ([]store.Object, error) { return nil, readOnly("list", "") }
func (noLister) Close() error                                 { return nil }

// Put fails: this is a source.
func (s *Store) Put(_ context.Context, key string, _ store.Body, _ store.PutOptions) (store.Object, error) {
	return store.Object{}, readOnly("put", key)
}

// Delete fails: this is a source.
func (s *Store) Delete(_ context.Context, key string) error { return readOnly("delete", key) }

func readOnly(op, key string) error {
	return &store.Error{Op: op, Key: shown(key), Class: store.Permanent, Err: errors.New("a list of URLs is a source and nothing else")}
}

// Close closes unused connections.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// shown is a URL without its query, which may be a signature.
func shown(raw string) string {
	if head, _, cut := strings.Cut(raw, "?"); cut {
		return head + "?..."
	}
	return raw
}
