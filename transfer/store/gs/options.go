package gs

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// vendorHost is the vendor's endpoint; its regional and private ones end in vendorDomain
// (https://cloud.google.com/storage/docs/request-endpoints).
const (
	vendorHost   = "storage.googleapis.com"
	vendorDomain = ".googleapis.com"
)

// options are the query options of a location.
type options struct {
	listOrder wire.ListOrder
	endpoint  *url.URL // nil for the vendor's
	anonymous bool     // no credentials are sent
	multipart *bool    // nil: by endpoint
	kmsKey    string   // resource name of the key that encrypts what is written
	project   string   // billed for requests to requester-pays buckets
}

// Validate looks at a location alone: unknown options, impossible names.
func Validate(l store.Location) error {
	_, err := parseOptions(l)
	return err
}

var (
	// bucketName is what a bucket may be called (https://cloud.google.com/storage/docs/buckets#naming).
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)
	kmsKeyName = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$`)
	projectID  = regexp.MustCompile(`^([a-z0-9.-]+:)?[a-z0-9][a-z0-9-]*$`)
)

func parseOptions(l store.Location) (options, error) {
	if err := store.CheckOptions(l, "endpoint", "anonymous", "multipart", "kms_key", "user_project", wire.OptionListOrder); err != nil {
		return options{}, err
	}
	order, err := wire.ParseListOrder(l)
	if err != nil {
		return options{}, err
	}
	if err := checkBucket(l); err != nil {
		return options{}, err
	}
	if strings.Contains(l.Path, "\r") || strings.Contains(l.Path, "\n") {
		return options{}, fmt.Errorf("%s: names of objects have no line breaks", l)
	}
	o := options{listOrder: order}
	if text := l.Options.Get("endpoint"); text != "" {
		u, err := wire.ParseHost("endpoint", text, "https://"+vendorHost)
		if err != nil {
			return options{}, err
		}
		if err := checkHost(u, l.Bucket); err != nil {
			return options{}, err
		}
		o.endpoint = u
	}
	if err := wire.ParseBool(l, "anonymous", &o.anonymous); err != nil {
		return options{}, err
	}
	if l.Options.Get("multipart") != "" {
		o.multipart = new(bool)
		if err := wire.ParseBool(l, "multipart", o.multipart); err != nil {
			return options{}, err
		}
	}
	if o.kmsKey = l.Options.Get("kms_key"); o.kmsKey != "" && !kmsKeyName.MatchString(o.kmsKey) {
		return options{}, fmt.Errorf("kms_key %q: want projects/P/locations/L/keyRings/R/cryptoKeys/K", o.kmsKey)
	}
	if o.project = l.Options.Get("user_project"); o.project != "" && !projectID.MatchString(o.project) {
		return options{}, fmt.Errorf("user_project %q: want a project ID", o.project)
	}
	return o, nil
}

func checkBucket(l store.Location) error {
	b := l.Bucket
	switch {
	case b == "":
		return fmt.Errorf("%s: a bucket name is missing", l)
	case !bucketName.MatchString(b), !strings.Contains(b, ".") && len(b) > 63, strings.Contains(b, ".."):
		return fmt.Errorf("bucket %q: want 3 to 63 lower-case letters, digits, hyphens, underscores and dots, with letters or digits at its ends", b)
	case net.ParseIP(b) != nil:
		return fmt.Errorf("bucket %q: names of buckets are no IP addresses", b)
	}
	return nil
}

// checkHost refuses a bucket inside the endpoint.
func checkHost(u *url.URL, bucket string) error {
	inside, ok := strings.CutSuffix(u.Hostname(), "."+vendorHost)
	switch {
	case !ok:
		return nil
	case inside == bucket:
		return fmt.Errorf("endpoint %q has the bucket in it; leave the endpoint out", u.Host)
	}
	return fmt.Errorf("endpoint %q names the bucket %q; leave the endpoint out, and write the bucket as gs://%s/", u.Host, inside, inside)
}

// address finds the endpoint: the location's, else that of STORAGE_EMULATOR_HOST, which the vendor's client libraries know too, else
// the vendor's. emulated tells that the environment named it: nobody meant credentials to go there.
func (o options) address() (u *url.URL, emulated bool, err error) {
	if o.endpoint != nil {
		return o.endpoint, false, nil
	}
	host := os.Getenv("STORAGE_EMULATOR_HOST")
	if host == "" {
		return &url.URL{Scheme: "https", Host: vendorHost}, false, nil
	}
	if !strings.Contains(host, "://") {
		host = "http://" + host
	}
	host = strings.TrimSuffix(strings.TrimSuffix(host, "/"), "/storage/v1")
	if u, err = wire.ParseHost("endpoint", host, "https://"+vendorHost); err != nil {
		return nil, false, fmt.Errorf("STORAGE_EMULATOR_HOST: %w", err)
	}
	return u, true, nil
}

// takesParts tells whether a server has the XML API's multipart uploads.
func (o options) takesParts(endpoint *url.URL) bool {
	if o.multipart != nil {
		return *o.multipart
	}
	return strings.HasSuffix(endpoint.Hostname(), vendorDomain)
}

// isLoopback tells whether a host is this machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
