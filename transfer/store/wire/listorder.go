package wire

import (
	"errors"
	"fmt"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// OptionListOrder is the option of a location that says in which order the server lists.
const OptionListOrder = "list_order"

// ListOrder is what a location says of the order of the server's listings. The zero value is that of a provider without the option,
// whose listings must be in the order of bytes.
type ListOrder string

// The orders.
const (
	// ListBytes is ascending by the keys' bytes, as the vendors of S3 and its like promise. Whatever is not is refused.
	ListBytes ListOrder = "bytes"
	// ListNone is an order of the server's own, or none: listings are read whole, page by page, and sorted here. A listing then
	// costs a request for every page of the whole prefix from wherever it starts.
	ListNone ListOrder = "none"
)

// ParseListOrder reads the option of a location.
func ParseListOrder(l store.Location) (ListOrder, error) {
	switch order := ListOrder(l.Options.Get(OptionListOrder)); order {
	case "":
		return ListBytes, nil
	case ListBytes, ListNone:
		return order, nil
	default:
		return "", fmt.Errorf("%s %q: want %s or %s", OptionListOrder, string(order), ListBytes, ListNone)
	}
}

// Declare puts into a what the order means for a store: with ListNone, listings start nowhere but at the beginning.
func (o ListOrder) Declare(a *store.Abilities) {
	a.Order, a.ListsByKeys = store.OrderBytes, o != ListNone
}

// circle notices that a listing without an order goes round, in little memory: it compares with one page that it keeps, and keeps
// another one each time twice as many have passed (R. P. Brent, An improved Monte Carlo factorization algorithm, 1980, section 3).
type circle struct {
	token, first  string
	hasFirst      bool
	passed, limit int
}

// pass looks at a page that more follow.
func (c *circle) pass(p *Page) error {
	if c.limit > 0 && p.Token == c.token {
		return errors.New("a continuation token repeats")
	}
	if len(p.Entries) > 0 {
		if c.hasFirst && p.Entries[0].Key == c.first {
			return fmt.Errorf("key %q comes twice", Clip(c.first, 200))
		}
	}
	if c.passed++; c.passed >= c.limit {
		c.limit, c.passed = max(1, 2*c.limit), 0
		c.token = p.Token
		if c.hasFirst = len(p.Entries) > 0; c.hasFirst {
			c.first = p.Entries[0].Key
		}
	}
	return nil
}
