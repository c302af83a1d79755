package uss

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// defaultEndpoint lets the vendor choose the line; v1, v2 and v3 are China Telecom's, Unicom's and Mobile's
// (https://help.upyun.com/knowledge-base/rest_api/).
const defaultEndpoint = "https://v0.api.upyun.com"

// options are the query options of a location.
type options struct {
	endpoint  *url.URL
	domain    *url.URL // content is read from there; nil reads it from the endpoint
	emptyDirs bool     // a source lists folders without anything in them
}

// Validate looks at a location alone: unknown options, impossible names.
func Validate(l store.Location) error {
	_, err := parseOptions(l)
	return err
}

// bucketName is what a service may be called. The console asks for 5 to 20 characters, older services have others.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func parseOptions(l store.Location) (o options, err error) {
	if err := store.CheckOptions(l, "endpoint", "domain", "empty_dirs"); err != nil {
		return o, err
	}
	if l.Bucket == "" {
		return o, fmt.Errorf("%s: a service name is missing", l)
	}
	if !bucketName.MatchString(l.Bucket) {
		return o, fmt.Errorf("service %q: want lower-case letters, digits and hyphens", l.Bucket)
	}
	if l.Path != "" {
		if err := checkKey(strings.TrimSuffix(l.Path, "/")); err != nil {
			return o, fmt.Errorf("%s: %w", l, err)
		}
	}
	text := l.Options.Get("endpoint")
	if text == "" {
		text = defaultEndpoint
	}
	if o.endpoint, err = wire.ParseHost("endpoint", text, defaultEndpoint); err != nil {
		return o, err
	}
	if err := checkEndpoint(o.endpoint.Hostname(), l.Bucket); err != nil {
		return o, err
	}
	if text := l.Options.Get("domain"); text != "" {
		if o.domain, err = wire.ParseHost("domain", text, defaultEndpoint); err != nil {
			return o, err
		}
		if isAPI(o.domain.Hostname()) {
			return o, fmt.Errorf("domain %q is an endpoint of the API; domain= is for the domain that the service is bound to, such as %s.b0.upaiyun.com",
				o.domain.Host, l.Bucket)
		}
	}
	return o, wire.ParseBool(l, "empty_dirs", &o.emptyDirs)
}

const apiDomain = ".api.upyun.com"

func isAPI(host string) bool { return strings.HasSuffix(host, apiDomain) }

// checkEndpoint refuses a service inside the endpoint, and the domains that content is read from.
func checkEndpoint(host, bucket string) error {
	if inside, ok := strings.CutSuffix(host, apiDomain); ok {
		if service, line, ok := strings.Cut(inside, "."); ok {
			return fmt.Errorf("endpoint %q has a service in it; write endpoint=%s%s, and the service as uss://%s/", host, line, apiDomain, service)
		}
		return nil
	}
	for _, cdn := range []string{".upaiyun.com", ".upcdn.net"} {
		if strings.HasSuffix(host, cdn) {
			return fmt.Errorf("endpoint %q is where content of %s is read from; write domain=%s, and leave endpoint= out", host, bucket, host)
		}
	}
	return nil
}
