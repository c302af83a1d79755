package oss

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
	endpoint  *url.URL
	region    string // "" is possible with signature V1 only
	v1        bool   // sign by V1
	pathStyle bool   // the bucket stands in the path
	bound     bool   // the endpoint is a domain that is bound to the bucket
	follow    bool   // links are copied as what they lead to
	listOrder wire.ListOrder
}

// Validate looks at a location alone: unknown options, impossible names.
func Validate(l store.Location) error {
	_, err := parseOptions(l)
	return err
}

// bucketName is what a bucket may be called
// (https://www.alibabacloud.com/help/en/oss/user-guide/bucket-naming-conventions).
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

func parseOptions(l store.Location) (options, error) {
	if err := store.CheckOptions(l, "endpoint", "region", "signature", "path_style", "bound_domain", "links", wire.OptionListOrder); err != nil {
		return options{}, err
	}
	if l.Bucket == "" {
		return options{}, fmt.Errorf("%s: a bucket name is missing", l)
	}
	if !bucketName.MatchString(l.Bucket) {
		return options{}, fmt.Errorf("bucket %q: want 3 to 63 lower-case letters, digits and hyphens, and none of the latter at its ends", l.Bucket)
	}
	if l.Path != "" && (l.Path[0] == '/' || l.Path[0] == '\\') {
		return options{}, fmt.Errorf("%s: keys of OSS do not begin with %q", l, l.Path[:1])
	}
	var o options
	if err := o.parseEndpoint(l.Options.Get("endpoint"), l.Options.Get("region")); err != nil {
		return options{}, err
	}
	if err := o.parseChoices(l); err != nil {
		return options{}, err
	}
	if o.region == "" && !o.v1 {
		return options{}, fmt.Errorf("the endpoint %q does not tell its region; set region=cn-hangzhou or whichever it is, or signature=v1", o.endpoint.Host)
	}
	return o, checkDomain(o, l.Bucket)
}

// parseEndpoint reads endpoint and region; either may follow from the other.
func (o *options) parseEndpoint(text, region string) error {
	region = strings.TrimPrefix(region, "oss-") // as the console prints it
	if strings.ContainsAny(region, " /:.") {
		return fmt.Errorf("region %q is no region name such as cn-hangzhou", region)
	}
	if text == "" {
		if region == "" {
			return fmt.Errorf("an endpoint is missing: endpoint=oss-cn-hangzhou.aliyuncs.com or region=cn-hangzhou")
		}
		text = "oss-" + region + ".aliyuncs.com"
	}
	u, err := wire.ParseHost("endpoint", text, "https://oss-cn-hangzhou.aliyuncs.com")
	if err != nil {
		return err
	}
	o.endpoint = u
	if o.region = region; region == "" {
		o.region = regionOf(o.endpoint.Hostname())
	}
	o.pathStyle = wire.IsLocal(o.endpoint.Hostname())
	return nil
}

func (o *options) parseChoices(l store.Location) (err error) {
	if o.listOrder, err = wire.ParseListOrder(l); err != nil {
		return err
	}
	switch text := l.Options.Get("signature"); text {
	case "", "v4":
	case "v1":
		o.v1 = true
	default:
		return fmt.Errorf("signature %q: want v1 or v4", text)
	}
	switch text := l.Options.Get("links"); text {
	case "", "skip":
	case "follow":
		o.follow = true
	default:
		return fmt.Errorf("links %q: want skip or follow", text)
	}
	for name, into := range map[string]*bool{"path_style": &o.pathStyle, "bound_domain": &o.bound} {
		if err := wire.ParseBool(l, name, into); err != nil {
			return err
		}
	}
	if o.bound && o.pathStyle {
		return fmt.Errorf("bound_domain and path_style exclude each other")
	}
	return nil
}

// vendorDomain ends the vendor's endpoints.
const vendorDomain = ".aliyuncs.com"

// checkDomain refuses a bucket inside the endpoint, which the tools of old were often given.
func checkDomain(o options, bucket string) error {
	host := o.endpoint.Hostname()
	inside, isVendors := strings.CutSuffix(host, vendorDomain)
	if !isVendors {
		return nil
	}
	first, rest, more := strings.Cut(inside, ".")
	if !more || rest == "oss" || strings.HasPrefix(first, "oss-") {
		return nil
	}
	if first == bucket {
		return fmt.Errorf("endpoint %q has the bucket in it; write endpoint=%s%s", host, rest, vendorDomain)
	}
	return fmt.Errorf("endpoint %q names the bucket %q; write endpoint=%s%s, and the bucket as oss://%s/", host, first, rest, vendorDomain, bucket)
}

// regionOf reads the region out of the vendor's own endpoints: oss-REGION.aliyuncs.com, oss-REGION-internal.aliyuncs.com
// and REGION.oss.aliyuncs.com (https://www.alibabacloud.com/help/en/oss/user-guide/regions-and-endpoints). "" if it does
// not stand there.
func regionOf(host string) string {
	name, ok := strings.CutSuffix(host, vendorDomain)
	if !ok {
		return ""
	}
	if region, ok := strings.CutSuffix(name, ".oss"); ok {
		return region
	}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:] // of an endpoint with the bucket in it, which is refused with a better reason
	}
	region, ok := strings.CutPrefix(name, "oss-")
	if !ok || strings.HasPrefix(region, "accelerate") {
		return ""
	}
	return strings.TrimSuffix(region, "-internal")
}
