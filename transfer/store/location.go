package store

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"sort"
	"strings"
)

// Location is a parsed store URL.
type Location struct {
	Scheme  string
	Bucket  string // "" for file
	Path    string // prefix within the bucket without a leading "/", or an absolute file path
	Options url.Values
}

// Parse reads a store URL or a plain file path. In URLs percent escapes are decoded and "?" starts the options; a
// plain path is taken literally and made absolute.
func Parse(raw string) (Location, error) {
	if ref, isList := strings.CutPrefix(raw, ListScheme+":"); isList {
		return parseList(ref)
	}
	scheme, rest, isURL := strings.Cut(raw, "://")
	if !isURL {
		if raw == "" {
			return Location{}, fmt.Errorf("empty location")
		}
		abs, err := filepath.Abs(raw)
		if err != nil {
			return Location{}, fmt.Errorf("make %q absolute: %w", raw, err)
		}
		if strings.HasSuffix(raw, "/") && !strings.HasSuffix(abs, "/") {
			abs += "/"
		}
		return Location{Scheme: "file", Path: abs, Options: url.Values{}}, nil
	}
	rest, query, _ := strings.Cut(rest, "?")
	opts, err := url.ParseQuery(query)
	if err != nil {
		return Location{}, fmt.Errorf("options of %q: %w", redact(raw), err)
	}
	for name, v := range opts {
		if len(v) > 1 {
			return Location{}, fmt.Errorf("option %q of %q is given twice", name, redact(raw))
		}
	}
	path, err := url.PathUnescape(rest)
	if err != nil {
		return Location{}, fmt.Errorf("%q: %w; write a literal %% as %%25", redact(raw), err)
	}
	loc := Location{Scheme: strings.ToLower(scheme), Options: opts}
	if loc.Scheme == "file" {
		if !strings.HasPrefix(path, "/") {
			return Location{}, fmt.Errorf("%q: a file URL needs three slashes, file:///dir/", redact(raw))
		}
		loc.Path = path
		return loc, nil
	}
	loc.Bucket, loc.Path, _ = strings.Cut(path, "/")
	if strings.ContainsAny(loc.Bucket, "@ ") {
		return Location{}, fmt.Errorf("bad bucket name in %q; credentials do not go into URLs", redact(raw))
	}
	return loc, nil
}

// ListScheme starts the location of a list of URLs: urllist:FILE or urllist:URL. Its Path is the file, made absolute, or
// the URL with the options that belong to it.
const ListScheme = "urllist"

// listOption tells whether an option is about the URLs in a list; others are part of where the list is.
func listOption(name string) bool {
	return name == "auth_host" || name == "max_size" || strings.HasPrefix(name, "header.")
}

func parseList(ref string) (Location, error) {
	ref, query, _ := strings.Cut(ref, "?")
	isURL := strings.Contains(ref, "://")
	loc := Location{Scheme: ListScheme, Path: ref, Options: url.Values{}}
	if strings.Contains(loc.Path, "@") && isURL {
		if u, err := url.Parse(ref); err != nil || u.User != nil {
			return Location{}, fmt.Errorf("bad URL of the list; credentials do not go into URLs")
		}
	}
	rest := ""
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); pair == "" || err == nil && isURL && !listOption(name) {
			if pair != "" {
				rest += "&" + pair
			}
			continue
		}
		one, err := url.ParseQuery(pair)
		if err != nil || value == "" {
			return Location{}, fmt.Errorf("option %q of the list: not NAME=VALUE", name)
		}
		for name, v := range one {
			if loc.Options.Has(name) {
				return Location{}, fmt.Errorf("option %q of the list is given twice", name)
			}
			loc.Options[name] = v
		}
	}
	if rest != "" {
		loc.Path += "?" + rest[1:]
	}
	if ref == "" || isURL {
		return loc, nil
	}
	abs, err := filepath.Abs(ref)
	if err != nil {
		return Location{}, fmt.Errorf("make %q absolute: %w", ref, err)
	}
	loc.Path = filepath.ToSlash(abs)
	return loc, nil
}

// redact hides what stands before an "@" in the authority, in case someone put credentials there.
func redact(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return raw
	}
	host, tail, _ := strings.Cut(rest, "/")
	if i := strings.LastIndex(host, "@"); i >= 0 {
		return scheme + "://***@" + host[i+1:] + "/" + tail
	}
	return raw
}

// String gives the canonical URL: equal places give equal strings, options sorted.
func (l Location) String() string {
	var b strings.Builder
	path := l.Path
	if l.Scheme == ListScheme {
		b.WriteString(ListScheme + ":")
	} else {
		b.WriteString(l.Scheme + "://")
		path = (&url.URL{Path: l.Path}).EscapedPath()
	}
	if l.Bucket != "" {
		b.WriteString(l.Bucket + "/")
	}
	b.WriteString(path)
	names := make([]string, 0, len(l.Options))
	for n := range l.Options {
		names = append(names, n)
	}
	sort.Strings(names)
	for i, n := range names {
		sep := "&"
		if i == 0 && !strings.Contains(path, "?") {
			sep = "?"
		}
		b.WriteString(sep + url.QueryEscape(n) + "=" + url.QueryEscape(l.Options.Get(n)))
	}
	return b.String()
}

// Role is the side of a job that a store is opened for.
type Role string

// The roles.
const (
	RoleSource      Role = "source"
	RoleDestination Role = "destination"
)

// Credentials sign requests; all empty means the provider's own default chain.
type Credentials struct {
	AccessKey    string
	SecretKey    string
	SessionToken string
}

// String never shows a secret.
func (c Credentials) String() string { return "credentials(***)" }

// GoString never shows a secret.
func (c Credentials) GoString() string { return c.String() }

// Config is all that a provider gets to open a store.
type Config struct {
	Location    Location
	Role        Role
	Credentials Credentials
	Nonce       string // the job's nonce in hex, part of temporary names
	Concurrency int    // requests in flight that the caller will have at most
}

// Opener opens a store without I/O on the objects; what is wrong with the location alone (an unknown option, a missing
// bucket) is an error of Validate.
type Opener func(ctx context.Context, cfg Config) (Destination, error)

// Validator looks at a location alone, without I/O: unknown options, impossible names.
type Validator func(Location) error

// Provider is one registration.
type Provider struct {
	Open       Opener
	Validate   Validator
	SourceOnly bool // nothing can be written there
}

// Registry maps schemes to providers.
type Registry map[string]Provider

// Schemes lists the registered schemes, sorted.
func (r Registry) Schemes() []string {
	s := make([]string, 0, len(r))
	for name := range r {
		s = append(s, name)
	}
	sort.Strings(s)
	return s
}

// Validate checks a location against its provider without I/O.
func (r Registry) Validate(l Location) error {
	p, ok := r[l.Scheme]
	if !ok {
		return fmt.Errorf("unknown scheme %q; known: %s", l.Scheme, strings.Join(r.Schemes(), ", "))
	}
	return p.Validate(l)
}

// Open opens the store that cfg names.
func (r Registry) Open(ctx context.Context, cfg Config) (Destination, error) {
	if err := r.Validate(cfg.Location); err != nil {
		return nil, err
	}
	return r[cfg.Location.Scheme].Open(ctx, cfg)
}
