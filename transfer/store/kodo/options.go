package kodo

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// options are the query options of a location.
type options struct {
	listOrder  wire.ListOrder
	region     string
	up         *url.URL // where objects are written
	rs         *url.URL // where they are described, copied, deleted
	rsf        *url.URL // where they are listed
	uc         *url.URL // where the bucket's domains are told
	domain     *url.URL // where they are read; nil: the bucket's own are asked for
	public     bool     // reads need no signature
	headByRead bool     // objects are described by the domain
}

// regions are those of the vendor (https://developer.qiniu.com/kodo/1671/region-endpoint-fq).
var regions = map[string]bool{
	"z0": true, "cn-east-2": true, "z1": true, "z2": true, "cn-northwest-1": true, "na0": true, "as0": true, "ap-southeast-2": true,
	"ap-southeast-3": true,
}

// Validate looks at a location alone: unknown options, impossible names.
func Validate(l store.Location) error {
	_, err := parseOptions(l)
	return err
}

// bucketName is what a bucket may be called (https://developer.qiniu.com/kodo/1312/upload, and older buckets with capitals,
// underscores and dots).
var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$`)

func parseOptions(l store.Location) (options, error) {
	if err := store.CheckOptions(l, "region", "endpoint", "domain", "private", "meta", wire.OptionListOrder); err != nil {
		return options{}, err
	}
	order, err := wire.ParseListOrder(l)
	if err != nil {
		return options{}, err
	}
	if l.Bucket == "" {
		return options{}, fmt.Errorf("%s: a bucket name is missing", l)
	}
	if !bucketName.MatchString(l.Bucket) {
		return options{}, fmt.Errorf("bucket %q: want 3 to 63 letters, digits, hyphens, underscores and dots, with a letter or digit at both ends", l.Bucket)
	}
	o := options{listOrder: order}
	if err := o.parseHosts(l); err != nil {
		return options{}, err
	}
	return o, o.parseChoices(l)
}

// parseHosts finds out where requests go: to the hosts of a region, or all to one endpoint.
func (o *options) parseHosts(l store.Location) error {
	o.region = l.Options.Get("region")
	endpoint := l.Options.Get("endpoint")
	switch {
	case endpoint != "":
		u, err := wire.ParseHost("endpoint", endpoint, "https://host")
		if err != nil {
			return err
		}
		if err := checkEndpoint(u.Hostname(), l.Bucket); err != nil {
			return err
		}
		o.up, o.rs, o.rsf, o.uc = u, u, u, u
	case o.region == "":
		return fmt.Errorf("a region is missing: region=z0, z1, z2, na0, as0 or whichever the bucket is in")
	case !regions[o.region]:
		return fmt.Errorf("region %q: want one of %s, or endpoint=https://host for all requests", o.region, strings.Join(slices.Sorted(maps.Keys(regions)), ", "))
	default:
		o.up = &url.URL{Scheme: "https", Host: "up-" + o.region + ".qiniup.com"}
		o.rs = &url.URL{Scheme: "https", Host: "rs-" + o.region + ".qiniuapi.com"}
		o.rsf = &url.URL{Scheme: "https", Host: "rsf-" + o.region + ".qiniuapi.com"}
		o.uc = &url.URL{Scheme: "https", Host: "uc.qiniuapi.com"}
	}
	if text := l.Options.Get("domain"); text != "" {
		u, err := wire.ParseHost("domain", text, "https://host")
		if err != nil {
			return err
		}
		o.domain = u
	}
	return nil
}

// checkEndpoint refuses what tools that speak S3 or read from a domain are given for an endpoint.
func checkEndpoint(host, bucket string) error {
	switch {
	case strings.HasSuffix(host, ".qiniucs.com"):
		return fmt.Errorf("endpoint %q speaks S3; use s3://%s/?endpoint=... with it, or kodo:// with region=", host, bucket)
	case strings.HasPrefix(host, strings.ToLower(bucket)+"."), strings.HasSuffix(host, ".clouddn.com"), strings.HasSuffix(host, ".qiniudn.com"):
		return fmt.Errorf("endpoint %q is a domain of the bucket; write domain=%s, and region= of the bucket", host, host)
	}
	return nil
}

func (o *options) parseChoices(l store.Location) error {
	private := true
	if err := wire.ParseBool(l, "private", &private); err != nil {
		return err
	}
	o.public = !private
	switch text := l.Options.Get("meta"); text {
	case "", "stat":
	case "head":
		o.headByRead = true
	default:
		return fmt.Errorf("meta %q: want stat or head", text)
	}
	return nil
}
