package transfer

import (
	"context"
	"errors"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Some servers take other names for a key: "x//y" and "/x/y" are "x/y" to servers over folders. A write of the one would change the
// other, which may be compared and settled already. So whatever stands at a key that the destination did not list is left alone,
// unless it is listed under that very name by now.

// ambiguous tells whether a key is one that servers are known to take for another.
func ambiguous(key string) bool {
	return strings.HasPrefix(key, "/") || strings.Contains(key, "//") || strings.Contains("/"+key+"/", "/./") || strings.Contains("/"+key+"/", "/../")
}

// checkName looks whether the destination has something at a key that it did not list and that it may take for another: not every
// server heeds the condition of the write.
func (c *copier) checkName(ctx context.Context) error {
	if !c.cond.Absent || !ambiguous(c.key) || c.job.Destination.Abilities().ExactModTime { // file systems refuse such keys
		return nil
	}
	now, err := c.n.stat(ctx, c.job.Destination, c.key, c.lease)
	if store.ClassOf(err) == store.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if _, equal := c.holds(&now); equal {
		return nil
	}
	return c.ownName(ctx)
}

// ownName proves that what stands at the key, though it was not listed before, stands there under its own name.
func (c *copier) ownName(ctx context.Context) error {
	a := c.job.Destination.Abilities()
	listed := !ambiguous(c.key)
	if a.ListsByKeys && a.Order == store.OrderBytes && c.job.SingleKey == nil {
		var err error
		if listed, err = c.n.lists(ctx, c.job.Destination, c.key, c.lease); err != nil {
			return err
		}
	}
	if listed {
		return nil
	}
	return &store.Error{Op: "copy", Key: c.key, Class: store.Permanent,
		Err: errors.New("the destination has an object there that it does not list under this name: writing would change another key's")}
}
