package transfer

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Keep says what objects keep besides their bytes, content headers and user metadata. The zero value keeps nothing more.
type Keep struct {
	Tags        bool   // costs a request each object
	Access      bool   // the same
	SourceClass bool   // the storage class that is nearest to the source's
	Class       string // one storage class for all, as the destination names it
	Encryption  bool
	AlwaysMTime bool // the modification time is recorded in metadata even where nothing needs it
	MD5         bool // the MD5 is recorded in metadata where it is known before the write
}

// md5Key is the user metadata that records the MD5 of the content in base64, as rclone writes it
// (https://rclone.org/s3/#modification-times-and-hashes).
const md5Key = "md5chksum"

// Bounds of what a record says of losses.
const (
	maxLosses   = 16
	maxLossText = 300 // bytes of one
)

// detailed asks the source for what of the version at hand costs a request of its own.
func (c *copier) detailed(ctx context.Context) error {
	want := store.Details{Tags: c.job.Keep.Tags, Access: c.job.Keep.Access}
	from, ok := c.job.Source.(store.Detailer)
	if !ok || want == (store.Details{}) || c.src.Kind == store.KindSymlink || c.src.Kind == store.KindSkipped {
		return nil
	}
	c.details, c.lost = store.Metadata{}, nil
	err := c.n.retry(ctx, c.lease, func() (err error) {
		c.lost, err = from.Detail(ctx, c.src.Name(), want, &c.details)
		return err
	})
	if store.ClassOf(err) == store.NotFound {
		err = fmt.Errorf("%w: %w", errVanished, err)
	}
	return atSource(err)
}

// metadata is what a write is to keep of the version at hand, as the source has it.
func (c *copier) metadata() store.Metadata {
	var m store.Metadata
	if c.src.Meta != nil {
		if c.job.Metadata {
			m = *c.src.Meta
		}
		m.Class, m.Encryption = c.src.Meta.Class, c.src.Meta.Encryption
	}
	keep := &c.job.Keep
	switch {
	case !keep.SourceClass || keep.Class != "":
		m.Class = store.StorageClass{}
	case m.Class == store.StorageClass{}:
		m.Class = c.src.Class
	}
	if !keep.Encryption {
		m.Encryption = store.EncryptionUnknown
	}
	m.Tags, m.Access = c.details.Tags, c.details.Access
	return m
}

// withMD5 records the MD5 of the content in metadata. content is nil where it is not in memory.
func (c *copier) withMD5(m store.Metadata, content []byte) store.Metadata {
	sum := c.src.Sums.MD5
	if sum == "" && content != nil {
		made := md5.Sum(content)
		sum = string(made[:])
	}
	if sum == "" {
		if m.User[md5Key] == "" {
			c.lose(store.Loss{What: "metadata", Name: md5Key, Reason: "the MD5 is not known before the write"})
		}
		return m
	}
	return withUser(m, md5Key, base64.StdEncoding.EncodeToString([]byte(sum)))
}

func (c *copier) lose(losses ...store.Loss) { c.res.Lost = append(c.res.Lost, losses...) }

// fit makes of what the source has what the destination keeps, and notes the rest as lost.
func (c *copier) fit(m store.Metadata) store.Metadata {
	dst := c.job.Destination
	c.lose(c.lost...)
	if f, ok := dst.(store.Fitter); ok {
		kept, lost := f.Fit(m)
		c.lose(lost...)
		m = kept
	} else if !dst.Abilities().Metadata {
		c.lose(lostAtFiles(&m)...)
		return store.Metadata{}
	}
	if class := c.job.Keep.Class; class != "" {
		m.Class = store.StorageClasses(dst.Abilities().Classes).Named(class)
	}
	if m.Class.Name != "" && c.job.classes.refused(m.Class.Name) {
		c.lose(store.Loss{What: "storage class", Name: m.Class.Name, Reason: "the destination refuses it"})
		m.Class = store.StorageClass{}
	}
	return m
}

// refusesClass tells whether a write failed for a storage class that was only to be kept: the next one goes without. Servers
// that speak S3 know different classes, and tell which only so.
func (c *copier) refusesClass(err error) bool {
	var e *store.Error
	if !errors.As(err, &e) || e.Code != "InvalidStorageClass" || c.class == "" || c.job.Keep.Class != "" {
		return false
	}
	return c.job.classes.refuse(c.class)
}

// lostAtFiles lists what a file system does not keep: all but content and modification time. Nothing is lost that says no more
// than the bytes do.
func lostAtFiles(m *store.Metadata) (lost []store.Loss) {
	const reason = "a file system does not keep it"
	add := func(what, name string) { lost = append(lost, store.Loss{What: what, Name: name, Reason: reason}) }
	if t := m.ContentType; t != "" && t != "application/octet-stream" && t != "binary/octet-stream" {
		add("header", "Content-Type")
	}
	for _, h := range []struct{ name, value string }{
		{"Cache-Control", m.CacheControl}, {"Content-Disposition", m.ContentDisposition}, {"Content-Encoding", m.ContentEncoding},
		{"Content-Language", m.ContentLanguage}, {"Expires", m.Expires},
	} {
		if h.value != "" {
			add("header", h.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.User)) {
		if name != store.MTimeKey && name != kindKey { // the file has it as its time or kind
			add("metadata", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Tags)) {
		add("tag", name)
	}
	if m.Class.Name != "" && m.Class.Tier != store.TierStandard {
		add("storage class", m.Class.Name)
	}
	if m.Access != store.AccessUnknown && m.Access != store.AccessPrivate {
		add("access", string(m.Access))
	}
	if m.Encryption != store.EncryptionUnknown {
		add("encryption", string(m.Encryption))
	}
	return lost
}

// lossLines words losses for a record.
func lossLines(losses []store.Loss) (lines []string) {
	for i, l := range losses {
		if i == maxLosses {
			return append(lines, fmt.Sprintf("and %d more", len(losses)-maxLosses))
		}
		text := strings.ToValidUTF8(l.String(), "\uFFFD")
		if len(text) > maxLossText {
			text = strings.ToValidUTF8(text[:maxLossText], "") + "…"
		}
		lines = append(lines, text)
	}
	return lines
}

// LossKind is what a line of Record.Lost says is lost: "tag", "storage class".
func LossKind(line string) string {
	if i := strings.IndexAny(line, "\":"); i > 0 {
		return strings.TrimRight(line[:i], " ")
	}
	return "more"
}
