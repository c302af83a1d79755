package s3

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// options are the query options of a location.
type options struct {
	endpoint  string // URL; "" means AWS, or what the environment names
	region    string // "" means what the environment names
	profile   string // of the shared AWS configuration files
	pathStyle *bool  // nil: path style everywhere but at AWS and where dialects say otherwise
	dialect   *dialect
	listOrder wire.ListOrder
}

// Validate looks at a location alone: unknown options, impossible names.
func Validate(l store.Location) error {
	_, err := parseOptions(l)
	return err
}

func parseOptions(l store.Location) (options, error) {
	if err := store.CheckOptions(l, "endpoint", "region", "path_style", "profile", wire.OptionListOrder); err != nil {
		return options{}, err
	}
	if l.Bucket == "" {
		return options{}, fmt.Errorf("%s: a bucket name is missing", l)
	}
	if strings.HasSuffix(l.Bucket, "--x-s3") {
		return options{}, fmt.Errorf("%s: directory buckets are not supported, they do not list in order", l)
	}
	if strings.HasPrefix(l.Bucket, "arn:") {
		return options{}, fmt.Errorf("%s: give the access point's alias instead of its ARN", l)
	}
	o := options{region: l.Options.Get("region"), profile: l.Options.Get("profile")}
	if strings.ContainsAny(o.region, " /:.") {
		return options{}, fmt.Errorf("region %q is no region name", o.region)
	}
	if text := l.Options.Get("path_style"); text != "" {
		v, err := strconv.ParseBool(text)
		if err != nil {
			return options{}, fmt.Errorf("path_style %q: want true or false", text)
		}
		o.pathStyle = &v
	}
	var err error
	if o.listOrder, err = wire.ParseListOrder(l); err != nil {
		return o, err
	}
	if o.endpoint, err = parseEndpoint(l.Options.Get("endpoint")); err != nil {
		return o, err
	}
	if o.dialect = dialectOf(l.Scheme, o.endpoint); o.dialect != nil {
		err = o.dialect.complete(l, &o)
	}
	return o, err
}

// parseEndpoint makes a URL of an endpoint; without a scheme it is https.
func parseEndpoint(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("endpoint is no URL such as https://host:port")
	case u.User != nil:
		return "", fmt.Errorf("endpoint of host %q: credentials do not go into URLs", u.Host)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("endpoint %q: want http:// or https://", text)
	case u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("endpoint %q: want https://host or https://host:port without a path", text)
	}
	return u.Scheme + "://" + u.Host, nil
}

// isAWS tells whether an endpoint is Amazon's.
func isAWS(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return host == "" || strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
}
