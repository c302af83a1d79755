package wire

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// ParseHost reads an option that is a host, a host and a port, or a URL without a path; without a scheme it is https.
func ParseHost(option, text, example string) (*url.URL, error) {
	u, err := ParseBase(option, text, example)
	if err == nil && u.Path != "" {
		err = fmt.Errorf("%s %q: want https://host or https://host:port without a path", option, text)
	}
	if err != nil {
		return nil, err
	}
	return u, nil
}

// ParseBase is ParseHost for URLs that may have a path, which ends without "/".
func ParseBase(option, text, example string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil: // the text is not shown: there may be a password in it
		return nil, fmt.Errorf("%s is no URL such as %s", option, example)
	case u.User != nil:
		return nil, fmt.Errorf("%s of host %q: credentials do not go into URLs", option, u.Host)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s %q: want http:// or https://", option, text)
	case u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%s of host %q: want https://host or https://host:port without a path, and credentials not in it", option, u.Host)
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: strings.TrimRight(u.Path, "/")}, nil
}

// ParseBool reads an option that is true or false; into stays as it is without it.
func ParseBool(l store.Location, option string, into *bool) error {
	text := l.Options.Get(option)
	if text == "" {
		return nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%s %q: want true or false", option, text)
	}
	*into = v
	return nil
}

// IsLocal tells whether sub-domains of a host cannot be.
func IsLocal(host string) bool { return net.ParseIP(host) != nil || host == "localhost" }

// BucketURL is where a bucket is: in the path or before the host of the endpoint, or the endpoint itself where it is a domain that is
// bound to the bucket.
func BucketURL(endpoint *url.URL, bucket string, inPath, bound bool) url.URL {
	u := *endpoint
	switch {
	case bound:
	case inPath:
		u.Path = "/" + bucket
	default:
		u.Host = bucket + "." + u.Host
	}
	return u
}

// CredentialsOf takes the credentials of the job, else the first pair of keys, and a token, of those variables of the environment:
// access key, secret key, and any names of the token.
func CredentialsOf(c store.Credentials, variables ...[]string) (store.Credentials, error) {
	if c != (store.Credentials{}) {
		return c, nil
	}
	for _, names := range variables {
		c = store.Credentials{AccessKey: os.Getenv(names[0]), SecretKey: os.Getenv(names[1])}
		for _, name := range names[2:] {
			if c.SessionToken == "" {
				c.SessionToken = os.Getenv(name)
			}
		}
		if c.AccessKey != "" && c.SecretKey != "" {
			return c, nil
		}
	}
	return store.Credentials{}, NoCredentials()
}

// NoCredentials is the error of a store that is opened without credentials it needs.
func NoCredentials() *store.Error {
	what := RuleOfFailure(ErrCredentials)
	return &store.Error{Op: "open", Class: what.Class, Hint: what.Hint, Err: ErrCredentials}
}

// Connect returns a client over a new transport for a caller with so many requests in flight.
func Connect(concurrency int) (*Client, error) {
	transport, err := NewTransport(concurrency)
	if err != nil {
		return nil, &store.Error{Op: "open", Class: store.Misconfigured, Err: err}
	}
	return NewClient(transport), nil
}
