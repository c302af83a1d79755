package bos

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// options are the query options of a location.
type options struct {
	listOrder wire.ListOrder
	endpoint  *url.URL
	pathStyle bool // the bucket stands in the path
	bound     bool // the endpoint is a domain that is bound to the bucket
	multiAZ   bool // the bucket keeps its objects in several zones, which has storage classes of its own
}

// vendorDomain ends the vendor's endpoints (https://cloud.baidu.com/doc/BOS/s/akrqd2wcx).
const vendorDomain = ".bcebos.com"

// What names may look like; the vendor's SDK holds buckets to the same.
var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)
	regionName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// Validate looks at a location alone: unknown options, impossible names.
func Validate(l store.Location) error {
	_, err := parseOptions(l)
	return err
}

func parseOptions(l store.Location) (options, error) {
	if err := store.CheckOptions(l, "endpoint", "region", "path_style", "bound_domain", "multi_az", wire.OptionListOrder); err != nil {
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
		return options{}, fmt.Errorf("bucket %q: want 3 to 63 lower-case letters, digits and hyphens, and none of the latter at its ends", l.Bucket)
	}
	if strings.HasPrefix(l.Path, "/") {
		return options{}, fmt.Errorf("%s: keys of BOS do not begin with %q", l, "/")
	}
	if hasDots(l.Path) {
		return options{}, fmt.Errorf("%s: BOS takes no \"..\" as a folder", l)
	}
	o := options{listOrder: order}
	if err := o.parseEndpoint(l.Options.Get("endpoint"), l.Options.Get("region")); err != nil {
		return options{}, err
	}
	if err := o.parseChoices(l); err != nil {
		return options{}, err
	}
	return o, o.checkDomain(l)
}

// parseEndpoint reads the endpoint, or makes one of the region.
func (o *options) parseEndpoint(text, region string) error {
	if region != "" && !regionName.MatchString(region) {
		return fmt.Errorf("region %q is no region name such as bj or gz", region)
	}
	if text == "" {
		if region == "" {
			return fmt.Errorf("an endpoint is missing: region=bj, or endpoint=bj%s", vendorDomain)
		}
		text = region + vendorDomain
	}
	u, err := wire.ParseHost("endpoint", text, "https://bj"+vendorDomain)
	if err != nil {
		return err
	}
	o.endpoint = u
	o.pathStyle = wire.IsLocal(o.endpoint.Hostname())
	return nil
}

func (o *options) parseChoices(l store.Location) error {
	for name, into := range map[string]*bool{"path_style": &o.pathStyle, "bound_domain": &o.bound, "multi_az": &o.multiAZ} {
		if err := wire.ParseBool(l, name, into); err != nil {
			return err
		}
	}
	if o.bound && o.pathStyle {
		return fmt.Errorf("bound_domain and path_style exclude each other")
	}
	return nil
}

// checkDomain refuses a bucket inside the endpoint, the endpoint for S3's protocol, and a region that contradicts the endpoint.
func (o *options) checkDomain(l store.Location) error {
	host, bucket := o.endpoint.Hostname(), l.Bucket
	inside, isVendors := strings.CutSuffix(host, vendorDomain)
	if !isVendors || o.bound {
		return nil
	}
	first, rest, more := strings.Cut(inside, ".")
	switch {
	case more && first == "s3":
		return fmt.Errorf("endpoint %q speaks the protocol of S3; write endpoint=%s%s, or the location as s3://%s/", host, rest, vendorDomain, bucket)
	case more && first == bucket:
		return fmt.Errorf("endpoint %q has the bucket in it; write endpoint=%s%s", host, rest, vendorDomain)
	case more:
		return fmt.Errorf("endpoint %q names the bucket %q; write endpoint=%s%s, and the bucket as bos://%s/", host, first, rest, vendorDomain, bucket)
	}
	if region := l.Options.Get("region"); region != "" && region != inside {
		return fmt.Errorf("region %q is not that of the endpoint %q; leave one of them out", region, host)
	}
	return nil
}
