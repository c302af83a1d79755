package transfer

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// A symbolic link kept in an object store is an object with this user metadata and the target as content.
const (
	kindKey     = "brigade-kind"
	kindSymlink = "symlink"
	maxTarget   = 4096 // bytes of a link's target
)

// options makes the options of a write from the version at hand. comparable tells that listings of both sides will show
// sums of this object that can be held against each other; where they will not, or where the source has an exact time,
// the modification time is recorded, unless the source records one already.
// Content is nil where it is not in memory.
func (c *copier) options(comparable bool, content []byte) store.PutOptions {
	opts := store.PutOptions{ModTime: c.modTime(), Task: c.task.ID, BeforeCommit: c.lease.Check, Kind: c.src.Kind, Meta: c.metadata()}
	dst := c.job.Destination.Abilities()
	c.res.Lost = nil
	if c.job.Keep.MD5 && c.src.Kind == store.KindObject {
		opts.Meta = c.withMD5(opts.Meta, content)
	}
	record := c.job.Keep.AlwaysMTime || c.job.Source.Abilities().ExactModTime || !comparable
	if opts.ModTime.IsZero() { // the source tells none
		record = false
	}
	_, recorded := opts.Meta.User[store.MTimeKey]
	if record && !recorded && dst.Metadata && !dst.ExactModTime && c.src.Kind != store.KindDir {
		opts.Meta = withUser(opts.Meta, store.MTimeKey, formatTime(opts.ModTime))
	}
	opts.Meta = c.fit(opts.Meta)
	c.class = opts.Meta.Class.Name
	return opts
}

// listsAgree tells that listings of both sides will show sums of the version at hand that can be held against each other.
func (c *copier) listsAgree() bool {
	return c.src.Sums.MD5 != "" || c.listQETags()
}

// listQETags tells that listings of both sides show QETags of the version at hand.
func (c *copier) listQETags() bool { return c.src.Sums.QETag != "" && reportsQETags(c.job) }

// isRecordedLink tells that the version at hand is a link kept as an object, on its way to a file system.
func (c *copier) isRecordedLink() bool {
	return c.src.Meta != nil && c.src.Meta.User[kindKey] == kindSymlink && c.src.Size > 0 && c.src.Size <= maxTarget &&
		!c.job.Destination.Abilities().Metadata
}

// withUser returns metadata with one user key set; the map it was made from is shared with others and stays as it is.
func withUser(m store.Metadata, name, value string) store.Metadata {
	user := make(map[string]string, len(m.User)+1)
	maps.Copy(user, m.User)
	user[name] = value
	m.User = user
	return m
}

// formatTime writes a time as decimal seconds since 1970, with up to nine digits of fraction and no zeros at its end.
func formatTime(t time.Time) string {
	sec, nanos, sign := t.Unix(), int64(t.Nanosecond()), ""
	if sec < 0 {
		sign = "-"
		sec = -sec
		if nanos > 0 {
			sec, nanos = sec-1, int64(time.Second)-nanos
		}
	}
	text := sign + strconv.FormatInt(sec, 10)
	if nanos == 0 {
		return text
	}
	frac := strconv.FormatInt(int64(time.Second)+nanos, 10)[1:]
	return text + "." + strings.TrimRight(frac, "0")
}
