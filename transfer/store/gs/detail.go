package gs

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// grant is one entry of an object's ACL (https://cloud.google.com/storage/docs/json_api/v1/objectAccessControls).
type grant struct {
	Entity string `json:"entity"`
	Role   string `json:"role"`
}

// Detail implements store.Detailer. Cloud Storage has no tags. In buckets with uniform bucket-level access objects have no ACL: then
// nothing is told, and nothing is lost.
func (s *Store) Detail(ctx context.Context, key string, want store.Details, m *store.Metadata) ([]store.Loss, error) {
	const op = "get access"
	if !want.Access {
		return nil, nil
	}
	full, err := s.full(op, key, true)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Items []grant `json:"items"`
	}
	r := request{op: op, method: http.MethodGet, key: key, path: s.objectPath(full) + "/acl", query: "fields=" + wire.EscapeQuery("items(entity,role)")}
	_, err = s.readJSON(ctx, r, &doc)
	var e *store.Error
	if errors.As(err, &e) && e.Hint == hintUniform {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lost []store.Loss
	m.Access, lost = accessOf(doc.Items)
	return lost, nil
}

// accessOf finds the word for an ACL. What the project's own members may do is part of every default, so it is no grant to speak of.
func accessOf(grants []grant) (store.Access, []store.Loss) {
	access, owner := store.AccessPrivate, ""
	var lost []store.Loss
	for _, g := range grants {
		reads := g.Role == "READER"
		switch {
		case strings.HasPrefix(g.Entity, "project"): // its owners, editors and viewers
		case g.Role == "OWNER" && strings.HasPrefix(g.Entity, "user-") && owner == "":
			owner = g.Entity // whoever wrote the object
		case g.Entity == "allUsers" && reads:
			access = store.AccessPublicRead
		case g.Entity == "allAuthenticatedUsers" && reads:
			if access == store.AccessPrivate {
				access = store.AccessAuthenticated
			}
		default:
			lost = append(lost, store.Loss{What: "access", Name: wire.Clip(g.Entity, 200), Reason: "a grant to some accounts only (" + wire.Clip(g.Role, 50) + ")"})
		}
	}
	return access, lost
}
