package azblob

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Versions of the protocol
// (https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services).
const (
	// versionStartFrom is the first whose listings begin at a name.
	versionStartFrom = "2026-02-06"
	// versionOldest has all else that is used here: tags, large blocks, encoded names, the tier Cold.
	versionOldest  = "2021-12-02"
	versionDefault = versionStartFrom
)

// options are the query options of a location.
type options struct {
	listOrder wire.ListOrder
	account   string
	base      url.URL // of the account; its path is "" or "/ACCOUNT"
	version   string
	anonymous bool // read without credentials
	managed   bool // by the managed identity of the machine
}

// startFrom tells that listings can begin at a name.
func (o *options) startFrom() bool { return o.version >= versionStartFrom }

// Validate looks at a location alone: unknown options, impossible names.
func Validate(l store.Location) error {
	_, err := parseOptions(l)
	return err
}

// AccountURL is where the account of a location is, one spelling for each; "" where the location is wrong.
func AccountURL(l store.Location) string {
	o, err := parseOptions(l)
	if err != nil {
		return ""
	}
	return o.base.String()
}

var (
	// accountName is what a storage account may be called
	// (https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-name).
	accountName = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	// containerName is what a container may be called, besides the special ones that begin with "$"
	// (https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata).
	containerName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{1,61})[a-z0-9]$`)
	versionText   = regexp.MustCompile(`^20[0-9]{2}-[01][0-9]-[0-3][0-9]$`)
)

func parseOptions(l store.Location) (options, error) {
	if err := store.CheckOptions(l, "account", "endpoint", "path_style", "api_version", "anonymous", "managed_identity", wire.OptionListOrder); err != nil {
		return options{}, err
	}
	order, err := wire.ParseListOrder(l)
	if err != nil {
		return options{}, err
	}
	if l.Bucket == "" {
		return options{}, fmt.Errorf("%s: a container name is missing", l)
	}
	special := l.Bucket == "$root" || l.Bucket == "$web"
	if !special && (!containerName.MatchString(l.Bucket) || strings.Contains(l.Bucket, "--")) {
		return options{}, fmt.Errorf("container %q: want 3 to 63 lower-case letters, digits and single hyphens, and none of the latter at its ends", l.Bucket)
	}
	if l.Bucket == "$root" && strings.Contains(l.Path, "/") {
		return options{}, fmt.Errorf("%s: names in $root have no \"/\"", l)
	}
	o := options{account: l.Options.Get("account"), version: versionDefault, listOrder: order}
	if err := o.parseVersion(l.Options.Get("api_version")); err != nil {
		return options{}, err
	}
	if err := wire.ParseBool(l, "anonymous", &o.anonymous); err != nil {
		return options{}, err
	}
	if err := wire.ParseBool(l, "managed_identity", &o.managed); err != nil {
		return options{}, err
	}
	if o.managed && o.anonymous {
		return options{}, errors.New("anonymous and managed_identity exclude each other")
	}
	if err := o.parseEndpoint(l); err != nil {
		return options{}, err
	}
	if o.managed && o.base.Scheme != "https" {
		return options{}, errors.New("tokens of a managed identity go over https only")
	}
	return o, nil
}

func (o *options) parseVersion(text string) error {
	if text == "" {
		return nil
	}
	if !versionText.MatchString(text) || text < versionOldest {
		return fmt.Errorf("api_version %q: want a version such as %s, and none before %s", text, versionDefault, versionOldest)
	}
	o.version = text
	return nil
}

// publicSuffix ends the endpoints of the public cloud.
const publicSuffix = "core.windows.net"

// parseEndpoint finds the URL of the account. An endpoint is the suffix of a cloud (core.chinacloudapi.cn), the host of its
// blob service (blob.core.chinacloudapi.cn), that of the account, or any other host, where an address wants the account in
// the path.
func (o *options) parseEndpoint(l store.Location) error {
	u, err := wire.ParseBase("endpoint", cmp.Or(l.Options.Get("endpoint"), publicSuffix), "https://blob.core.windows.net")
	if err != nil {
		return err
	}
	host, port := u.Hostname(), u.Port()
	first, rest, _ := strings.Cut(host, ".")
	if o.account == "" && strings.HasPrefix(rest, "blob.") && accountName.MatchString(first) {
		o.account = first
	}
	if o.account == "" {
		return fmt.Errorf("an account is missing: account=NAME")
	}
	if !accountName.MatchString(o.account) {
		return fmt.Errorf("account %q: want 3 to 24 lower-case letters and digits", o.account)
	}
	pathStyle := wire.IsLocal(host) || u.Path == "/"+o.account
	switch {
	case pathStyle || first == o.account:
	case first == "core":
		host = o.account + ".blob." + host
	case first == "blob":
		host = o.account + "." + host
	case strings.HasPrefix(rest, "blob."):
		return fmt.Errorf("endpoint %q is that of the account %q; write account=%s", host, first, first)
	}
	if first == l.Bucket && strings.HasPrefix(rest, o.account+".") {
		return fmt.Errorf("endpoint %q has the container in it; write endpoint=%s", host, rest)
	}
	if u.Path != "" && u.Path != "/"+o.account {
		return fmt.Errorf("endpoint %q: want https://host or https://host:port without a path", l.Options.Get("endpoint"))
	}
	if err := wire.ParseBool(l, "path_style", &pathStyle); err != nil {
		return err
	}
	o.base = url.URL{Scheme: u.Scheme, Host: host}
	if port != "" {
		o.base.Host = net.JoinHostPort(host, port)
	} else if strings.Contains(host, ":") {
		o.base.Host = "[" + host + "]"
	}
	if pathStyle {
		o.base.Path = "/" + o.account
	}
	return nil
}
