package s3

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// dialect is what a vendor's S3 has of its own.
type dialect struct {
	scheme string // of its URLs; "" where they are s3:// with an endpoint
	vendor string
	host   string // of the endpoint of a region, "*" standing for the region
	others string // suffix of further endpoints' hosts, such as internal ones
	source string // page that says so
	// classes are its storage classes, with the words that its S3 has for them.
	classes classes
}

// dialects are the vendors that take a bucket in the host name only, or have a URL scheme here. All others are reached by
// s3:// with an endpoint, the bucket in the path.
var dialects = [...]dialect{
	{
		scheme: "obs", vendor: "Huawei Cloud OBS", host: "obs.*.myhuaweicloud.com", others: ".myhuaweicloud.com",
		source: "https://support.huaweicloud.com/intl/en-us/productdesc-obs/obs_03_0152.html",
		// Its own protocol says WARM and COLD, its S3 has Amazon's words.
		classes: threeClasses(class{name: "WARM", word: "STANDARD_IA"}, class{name: "COLD", word: "GLACIER"}),
	},
	{
		scheme: "ks3", vendor: "Kingsoft Cloud KS3", host: "ks3-*.ksyuncs.com", others: ".ksyuncs.com",
		source:  "https://docs.ksyun.com/documents/6762",
		classes: threeClasses(class{name: "STANDARD_IA"}, class{name: "ARCHIVE"}),
	},
	{
		scheme: "jss", vendor: "JD Cloud OSS", host: "s3.*.jdcloud-oss.com", others: ".jdcloud-oss.com",
		source:  "https://docs.jdcloud.com/cn/object-storage-service/endpoint-using-rulers",
		classes: threeClasses(class{name: "STANDARD_IA"}, class{name: "GLACIER"}),
	},
	{
		vendor: "Alibaba Cloud OSS", host: "s3.oss-*.aliyuncs.com", others: ".aliyuncs.com",
		source:  "https://help.aliyun.com/en/oss/developer-reference/compatibility-with-amazon-s3",
		classes: threeClasses(class{name: "IA", word: "STANDARD_IA"}, class{name: "Archive", word: "GLACIER"}),
	},
}

// Schemes are the URL schemes of S3 and its dialects.
func Schemes() []string {
	schemes := []string{"s3"}
	for i := range dialects {
		if dialects[i].scheme != "" {
			schemes = append(schemes, dialects[i].scheme)
		}
	}
	return schemes
}

// dialectOf finds the dialect of a location by its scheme, or by the host of its endpoint; nil if there is none.
func dialectOf(scheme, endpoint string) *dialect {
	host := hostOf(endpoint)
	for i := range dialects {
		d := &dialects[i]
		if d.scheme != "" && d.scheme == scheme || strings.HasSuffix(host, d.others) {
			return d
		}
	}
	return nil
}

func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// regionOf reads the region from an endpoint; "" if the host is not made as the vendor's are.
func (d *dialect) regionOf(endpoint string) string {
	before, after, _ := strings.Cut(d.host, "*")
	region, ok := strings.CutPrefix(hostOf(endpoint), before)
	if !ok {
		return ""
	}
	region, ok = strings.CutSuffix(region, after)
	if !ok || strings.Contains(region, ".") {
		return ""
	}
	return region
}

// endpointOf is the vendor's public endpoint of a region.
func (d *dialect) endpointOf(region string) string {
	return "https://" + strings.Replace(d.host, "*", region, 1)
}

// complete fills in what the vendor's names tell of each other: the endpoint by the region, the region by the endpoint.
func (d *dialect) complete(l store.Location, o *options) error {
	if o.endpoint == "" && o.region == "" {
		return fmt.Errorf("%s: region=... is missing, such as %s://%s/?region=REGION for %s", l, l.Scheme, l.Bucket,
			strings.Replace(d.host, "*", "REGION", 1))
	}
	if host := hostOf(o.endpoint); strings.HasPrefix(host, l.Bucket+".") && strings.HasSuffix(host, d.others) && d.regionOf(o.endpoint) == "" {
		return fmt.Errorf("endpoint %q begins with the bucket; give %q, the bucket is named already", o.endpoint, strings.TrimPrefix(host, l.Bucket+"."))
	}
	if o.endpoint == "" {
		o.endpoint = d.endpointOf(o.region)
	}
	if o.region == "" {
		o.region = d.regionOf(o.endpoint)
	}
	return nil
}

// Place gives a location the spelling that all others of the same place have: a dialect's scheme becomes s3 with an endpoint.
func Place(l store.Location) store.Location {
	if !slices.Contains(Schemes(), l.Scheme) {
		return l
	}
	o, err := parseOptions(l)
	if err != nil || o.dialect == nil {
		return l
	}
	return store.Location{Scheme: "s3", Bucket: l.Bucket, Path: l.Path, Options: url.Values{"endpoint": {o.endpoint}}}
}
