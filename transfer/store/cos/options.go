package cos

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
	region    string // "" where the endpoint does not tell it and no option does
	pathStyle bool   // the bucket stands in the path: at addresses, which have no sub-domains
	bound     bool   // the endpoint is a domain that is bound to the bucket
	manyZones bool   // the bucket lies in several zones, which have storage classes of their own
}

// Validate looks at a location alone: unknown options, impossible names.
func Validate(l store.Location) error {
	_, err := parseOptions(l)
	return err
}

// What buckets and regions are called (https://www.tencentcloud.com/document/product/436/13312,
// https://www.tencentcloud.com/document/product/436/6224). APPIDs are given out with 8 digits or more.
var (
	bucketName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?-[0-9]{8,12}$`)
	nameAlone  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	regionName = regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)+$`)
)

// accelerated is what stands in the place of a region where requests go by the vendor's own network.
const accelerated = "accelerate"

// oldRegions are names of before 2018, which lists of jobs still have.
var oldRegions = map[string]string{
	"gz": "ap-guangzhou", "sh": "ap-shanghai", "tj": "ap-beijing-1", "bj": "ap-beijing", "cd": "ap-chengdu", "hk": "ap-hongkong",
	"cn-south": "ap-guangzhou", "cn-east": "ap-shanghai", "cn-north": "ap-beijing-1", "cn-southwest": "ap-chengdu", "sg": "ap-singapore",
}

func parseOptions(l store.Location) (options, error) {
	if err := store.CheckOptions(l, "endpoint", "region", "bound_domain", "multi_az", wire.OptionListOrder); err != nil {
		return options{}, err
	}
	order, err := wire.ParseListOrder(l)
	if err != nil {
		return options{}, err
	}
	if err := checkBucket(l); err != nil {
		return options{}, err
	}
	if l.Path != "" && (l.Path[0] == '/' || l.Path[0] == '\\') {
		return options{}, fmt.Errorf("%s: keys of COS do not begin with %q", l, l.Path[:1])
	}
	o := options{listOrder: order}
	if err := o.parseRegion(l.Options.Get("region")); err != nil {
		return options{}, err
	}
	if err := o.parseEndpoint(l.Options.Get("endpoint")); err != nil {
		return options{}, err
	}
	for name, into := range map[string]*bool{"bound_domain": &o.bound, "multi_az": &o.manyZones} {
		if err := wire.ParseBool(l, name, into); err != nil {
			return options{}, err
		}
	}
	o.pathStyle = !o.bound && wire.IsLocal(o.endpoint.Hostname())
	return o, o.checkDomain(l.Bucket)
}

// checkBucket wants NAME-APPID.
func checkBucket(l store.Location) error {
	name, _, region, isHost := vendorHost(l.Bucket)
	switch {
	case isHost && bucketName.MatchString(name):
		return fmt.Errorf("bucket %q is a host; write cos://%s/%s?region=%s", l.Bucket, name, l.Path, region)
	case l.Bucket == "":
		return fmt.Errorf("%s: a bucket name is missing", l)
	case bucketName.MatchString(l.Bucket):
		return nil
	case nameAlone.MatchString(l.Bucket):
		return fmt.Errorf("bucket %q: its APPID is missing; write the whole name that the console shows, such as cos://%s-1250000000/", l.Bucket, l.Bucket)
	}
	return fmt.Errorf("bucket %q: want lower-case letters, digits and hyphens, then a hyphen and the APPID, such as photos-1250000000", l.Bucket)
}

func (o *options) parseRegion(region string) error {
	region = strings.TrimPrefix(region, "cos.") // as some tools print it
	if known := oldRegions[region]; known != "" {
		return fmt.Errorf("region %q has another name now; write region=%s", region, known)
	}
	if region != "" && region != accelerated && !regionName.MatchString(region) {
		return fmt.Errorf("region %q is no region name such as ap-guangzhou", region)
	}
	o.region = region
	return nil
}

// parseEndpoint reads the endpoint, or makes it of the region.
func (o *options) parseEndpoint(text string) error {
	if text == "" {
		if o.region == "" {
			return fmt.Errorf("an endpoint is missing: region=ap-guangzhou or endpoint=cos.ap-guangzhou.myqcloud.com")
		}
		text = "cos." + o.region + vendorDomain
	}
	u, err := wire.ParseHost("endpoint", text, "https://cos.ap-guangzhou.myqcloud.com")
	if err != nil {
		return err
	}
	o.endpoint = u
	return nil
}

// The ends of the vendor's domains, the second for those who tell the internal network apart
// (https://www.tencentcloud.com/document/product/436/6224).
const (
	vendorDomain = ".myqcloud.com"
	newDomain    = ".tencentcos.cn"
)

// vendorHost takes one of the vendor's endpoints apart: [BUCKET.]cos.REGION.myqcloud.com and cos-internal. ok is false for any
// other host.
func vendorHost(host string) (bucket, service, region string, ok bool) {
	inside, ok := strings.CutSuffix(host, vendorDomain)
	if !ok {
		inside, ok = strings.CutSuffix(host, newDomain)
	}
	if !ok {
		return "", "", "", false
	}
	labels := strings.Split(inside, ".")
	n := len(labels)
	if n < 2 {
		return "", "", "", true
	}
	return strings.Join(labels[:n-2], "."), labels[n-2], labels[n-1], true
}

// checkDomain refuses endpoints of the vendor that cannot be, and finds the region of those that can.
func (o *options) checkDomain(bucket string) error {
	host := o.endpoint.Hostname()
	inside, service, region, ok := vendorHost(host)
	if !ok {
		return nil
	}
	name := strings.TrimPrefix(host, inside+".")
	switch {
	case o.bound:
		return fmt.Errorf("endpoint %q is the vendor's own; leave bound_domain out", host)
	case service != "cos" && service != "cos-internal":
		return fmt.Errorf("endpoint %q is none for objects; write endpoint=cos.ap-guangzhou.myqcloud.com or the region alone", host)
	case inside == bucket:
		return fmt.Errorf("endpoint %q has the bucket in it; write endpoint=%s", host, name)
	case inside != "":
		return fmt.Errorf("endpoint %q names the bucket %q; write endpoint=%s, and the bucket as cos://%s/", host, inside, name, bucket)
	case region != accelerated && !regionName.MatchString(region):
		return fmt.Errorf("endpoint %q: %q is no region name such as ap-guangzhou", host, region)
	case region == accelerated && o.region == accelerated:
		o.region = "" // not told
	case region == accelerated: // the option tells where the bucket is
	case o.region != "" && o.region != region:
		return fmt.Errorf("endpoint %q is not in region %q; leave one of the two out", host, o.region)
	default:
		o.region = region
	}
	return nil
}
