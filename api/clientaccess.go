package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// AddToken makes a token.
func (c *Client) AddToken(ctx context.Context, wanted NewToken) (*MadeToken, error) {
	body, err := json.Marshal(wanted)
	if err != nil {
		return nil, fmt.Errorf("encode token: %w", err)
	}
	var d MadeToken
	return &d, c.call(ctx, http.MethodPost, "/v1/tokens", nil, body, &d)
}

// Tokens lists the tokens.
func (c *Client) Tokens(ctx context.Context) (*TokenList, error) {
	all := &TokenList{Tokens: []TokenInfo{}}
	for after := ""; ; {
		var page TokenList
		if err := c.call(ctx, http.MethodGet, "/v1/tokens?after="+url.QueryEscape(after), nil, nil, &page); err != nil {
			return nil, err
		}
		all.Tokens, all.Freshness = append(all.Tokens, page.Tokens...), page.Freshness
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

// RemoveToken forgets a token: from then on it opens nothing.
func (c *Client) RemoveToken(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(name), nil, nil, nil)
}

// History returns all events that are kept.
func (c *Client) History(ctx context.Context) (*History, error) {
	all := &History{Events: []Event{}}
	for after := uint64(0); ; {
		var page History
		if err := c.call(ctx, http.MethodGet, "/v1/history?after="+strconv.FormatUint(after, 10), nil, nil, &page); err != nil {
			return nil, err
		}
		all.Events, all.Freshness = append(all.Events, page.Events...), page.Freshness
		if after = page.Next; after == 0 {
			return all, nil
		}
	}
}
