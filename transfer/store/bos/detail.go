package bos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Detail implements store.Detailer.
func (s *Store) Detail(ctx context.Context, key string, want store.Details, m *store.Metadata) ([]store.Loss, error) {
	if want.Tags {
		tags, err := s.tags(ctx, key)
		if err != nil {
			return nil, err
		}
		m.Tags = tags
	}
	if !want.Access {
		return nil, nil
	}
	access, lost, err := s.access(ctx, key)
	if err == nil {
		m.Access = access
	}
	return lost, err
}

// tagSet is an answer of GetObjectTagging (https://cloud.baidu.com/doc/BOS/s/jltz5v4kd).
type tagSet struct {
	Set []struct {
		Info map[string]string `json:"tagInfo"`
	} `json:"tagSet"`
}

// tags reads the tags of an object, nil where it has none.
func (s *Store) tags(ctx context.Context, key string) (map[string]string, error) {
	var out tagSet
	err := s.detail(ctx, wire.Request{Op: "read tags", Method: http.MethodGet, Key: key, Query: "tagging="}, &out)
	if err != nil || len(out.Set) == 0 || len(out.Set[0].Info) == 0 {
		return nil, err
	}
	return out.Set[0].Info, nil
}

// detail reads a part of an object's description. One that it does not have leaves doc as it is: an object without tags or
// grants of its own may be answered with an empty document, or as if what was asked for was missing.
func (s *Store) detail(ctx context.Context, r wire.Request, doc any) error {
	_, err := s.calls.Read(ctx, r, doc)
	var e *store.Error
	if errors.As(err, &e) && e.Class == store.NotFound && e.Code != "NoSuchKey" {
		return nil
	}
	return err
}

// grants is an answer of GetObjectAcl (https://cloud.baidu.com/doc/BOS/s/ekc5ua7o6).
type grants struct {
	List []struct {
		Grantees []struct {
			ID string `json:"id"`
		} `json:"grantee"`
		Permissions []string `json:"permission"`
	} `json:"accessControlList"`
}

// everybody is who may read public objects.
const everybody = "*"

// access reads who may read an object. An object without grants of its own goes by those of its bucket.
func (s *Store) access(ctx context.Context, key string) (store.Access, []store.Loss, error) {
	var out grants
	if err := s.detail(ctx, wire.Request{Op: "read access", Method: http.MethodGet, Key: key, Query: "acl="}, &out); err != nil || len(out.List) == 0 {
		return store.AccessUnknown, nil, err
	}
	access, full := store.AccessPrivate, 0
	var lost []store.Loss
	for _, g := range out.List {
		for _, to := range g.Grantees {
			has := func(what string) bool { return slices.Contains(g.Permissions, what) }
			switch {
			case to.ID == everybody && (has("FULL_CONTROL") || has("WRITE")):
				access = store.AccessPublicWrite
			case to.ID == everybody && has("READ"):
				if access != store.AccessPublicWrite {
					access = store.AccessPublicRead
				}
			case to.ID != everybody && has("FULL_CONTROL") && full == 0:
				full++ // the owner
			default:
				lost = append(lost, store.Loss{What: "access", Name: wire.Clip(to.ID, 100), Reason: fmt.Sprintf("a grant of %q to one account", g.Permissions)})
			}
		}
	}
	return access, lost, nil
}

// The longest that a restored object stays readable, in days (https://cloud.baidu.com/doc/BOS/s/akc5t3f12).
const mostDays = 30

// speeds of a restore: within 30 minutes, 2 to 5 hours, 12 hours.
var speeds = []string{"Expedited", "Standard", "LowCost"}

// Restore implements store.Restorer.
func (s *Store) Restore(ctx context.Context, key string, days int, speed string) error {
	const op = "restore"
	switch {
	case days < 1 || days > mostDays:
		return wire.Permanent(op, key, fmt.Errorf("for %d days; BOS restores for 1 to %d", days, mostDays))
	case speed != "" && !slices.Contains(speeds, speed):
		return wire.Permanent(op, key, fmt.Errorf("at the speed %q; BOS has %q", wire.Clip(speed, 50), speeds))
	}
	header := http.Header{"X-Bce-Restore-Days": {strconv.Itoa(days)}}
	if speed != "" {
		header["X-Bce-Restore-Tier"] = []string{speed}
	}
	resp, err := s.calls.Do(ctx, wire.Request{Op: op, Method: http.MethodPost, Key: key, Query: "restore=", Header: header})
	if err == nil {
		wire.Finish(resp.Body)
		return nil
	}
	switch store.ClassOf(err) {
	case store.NotFound, store.Throttled, store.Canceled, store.Misconfigured:
		return err
	}
	// Asked twice, or for what is not archived: what the object itself says decides.
	o, h, statErr := s.headWith(ctx, op, key, "")
	if statErr == nil && (!o.Archived || h.Get("X-Bce-Restore") != "") {
		return nil
	}
	return err
}
