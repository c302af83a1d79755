package uss

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// client sends signed requests.
type client struct {
	t      *testing.T
	server *Server
	url    string
}

func newClient(t *testing.T) *client {
	t.Helper()
	server, _, url := Start(t)
	server.NewBucket("svc")
	return &client{t, server, url}
}

// send gives status, code and header of an answer, and its content.
func (c *client) send(method, path, body string, header ...string) (status, code int, h http.Header, content string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+"/svc/"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	date := time.Now().UTC().Format(http.TimeFormat)
	r.Header.Set("Date", date)
	r.Header.Set("Authorization", "UPYUN "+c.server.opts.Operator+":"+c.server.signature(r, date))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var doc struct{ Code int }
	_ = json.Unmarshal(data, &doc) // contents need not be JSON
	return resp.StatusCode, doc.Code, resp.Header, string(data)
}

// TestContentIsChecked: the MD5 is that in hexadecimal, and another content leaves what was there.
func TestContentIsChecked(t *testing.T) {
	c := newClient(t)
	if status, _, _, _ := c.send(http.MethodPut, "k", "hello wire", "Content-MD5", "3eeebf6b04a9821afe3b68830b7038f9"); status != 200 {
		t.Errorf("the right MD5: %d", status)
	}
	for _, sum := range []string{"3EEEBF6B04A9821AFE3B68830B7038F9", "Pu6/awSpgh r+O2iDC3A4+Q==", "00000000000000000000000000000000"} {
		if status, code, _, _ := c.send(http.MethodPut, "k", "hello wire", "Content-MD5", sum); status != 400 || code != 40000006 {
			t.Errorf("%s: %d %d", sum, status, code)
		}
	}
	if status, code, _, _ := c.send(http.MethodPut, "k", "", "Content-MD5", "d41d8cd98f00b204e9800998ecf8427e"); status != 400 || code != 40000014 {
		t.Errorf("of no content: %d %d", status, code)
	}
	if _, _, h, content := c.send(http.MethodGet, "k", ""); content != "hello wire" || h.Get("Content-Md5") != "3eeebf6b04a9821afe3b68830b7038f9" {
		t.Errorf("%q, %v", content, h)
	}
}

// TestRulesOfParts: one size for all but the last, in steps of 1 MiB, and nothing missing between them.
func TestRulesOfParts(t *testing.T) {
	c := newClient(t)
	begin := func(header ...string) (string, int) {
		_, code, h, _ := c.send(http.MethodPut, "big", "", append([]string{"X-Upyun-Multi-Stage", "initiate", "X-Upyun-Multi-Disorder", "true"}, header...)...)
		return h.Get("X-Upyun-Multi-Uuid"), code
	}
	for _, size := range []string{"1", "1048577", "53477376", "x"} {
		if _, code := begin("X-Upyun-Multi-Part-Size", size); code != 40011054 {
			t.Errorf("parts of %s: %d", size, code)
		}
	}
	mib := strings.Repeat("x", 1<<20)
	part := func(id, n, body string) int {
		_, code, _, _ := c.send(http.MethodPut, "big", body, "X-Upyun-Multi-Stage", "upload", "X-Upyun-Multi-Uuid", id, "X-Upyun-Part-Id", n)
		return code
	}
	complete := func(id string) (int, int) {
		status, code, _, _ := c.send(http.MethodPut, "big", "", "X-Upyun-Multi-Stage", "complete", "X-Upyun-Multi-Uuid", id)
		return status, code
	}
	for name, at := range map[string]struct {
		length string
		parts  map[string]string
		code   int // of the part that is refused, or of the completion
	}{
		"too large":    {parts: map[string]string{"0": mib + "x"}, code: 40011060},
		"empty":        {parts: map[string]string{"0": ""}, code: 40011060},
		"no number":    {parts: map[string]string{"-1": "x"}, code: 40011051},
		"too many":     {parts: map[string]string{"10000": "x"}, code: 40011051},
		"one missing":  {parts: map[string]string{"0": mib, "2": "x"}, code: 40011061},
		"small before": {parts: map[string]string{"0": "x", "1": "x"}, code: 40011060},
		"too short":    {length: "5", parts: map[string]string{"0": "x"}, code: 40000025},
		"as announced": {length: "1048577", parts: map[string]string{"1": "x", "0": mib}},
	} {
		id, code := begin("X-Upyun-Multi-Length", at.length)
		for n, body := range at.parts {
			if got := part(id, n, body); got != 0 {
				code = got
			}
		}
		status := 0
		if code == 0 {
			status, code = complete(id)
		}
		if code != at.code || at.code == 0 && status != 201 && status != 204 {
			t.Errorf("%s: %d, status %d; want %d", name, code, status, at.code)
		}
		if at.code == 0 {
			if _, code := complete(id); code != 40011058 {
				t.Errorf("completed twice: %d", code)
			}
		}
	}
}

// TestInOrder: uploads in order, as the older SDKs send them, wait for one part after the other.
func TestInOrder(t *testing.T) {
	c := newClient(t)
	mib := strings.Repeat("x", 1<<20)
	_, _, h, _ := c.send(http.MethodPut, "big", mib, "X-Upyun-Multi-Stage", "initiate,upload", "X-Upyun-Multi-Length", "1048577", "X-Upyun-Part-Id", "0")
	id := h.Get("X-Upyun-Multi-Uuid")
	if h.Get("X-Upyun-Next-Part-Id") != "1" || len(id) != 36 {
		t.Fatalf("%v", h)
	}
	if _, code, _, _ := c.send(http.MethodPut, "big", "x", "X-Upyun-Multi-Stage", "upload", "X-Upyun-Multi-Uuid", id, "X-Upyun-Part-Id", "0"); code != 40011061 {
		t.Errorf("the first again: %d", code)
	}
	status, _, h, _ := c.send(http.MethodPut, "big", "x", "X-Upyun-Multi-Stage", "upload,complete", "X-Upyun-Multi-Uuid", id, "X-Upyun-Part-Id", "1")
	if status != 201 || h.Get("X-Upyun-Multi-Length") != "1048577" {
		t.Errorf("%d, %v", status, h)
	}
}

// TestListingsComeInNoOrder, page after page, and each name once.
func TestListingsComeInNoOrder(t *testing.T) {
	c := newClient(t)
	for _, name := range strings.Split("abcdefghij", "") {
		c.send(http.MethodPut, "dir/"+name, "x")
	}
	for _, order := range []string{"asc", "desc"} {
		seen, iter := "", ""
		for range 20 {
			header := []string{"Accept", "application/json", "X-List-Limit", "3", "X-List-Order", order}
			if iter != "" {
				header = append(header, "X-List-Iter", iter)
			}
			_, _, _, content := c.send(http.MethodGet, "dir/", "", header...)
			var page struct {
				Files []entry
				Iter  string
			}
			if err := json.Unmarshal([]byte(content), &page); err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Files {
				seen += e.Name
			}
			if iter = page.Iter; iter == lastIter {
				break
			}
		}
		if len(seen) != 10 || strings.Contains(seen, "abcdefghij") {
			t.Errorf("%s: %q", order, seen)
		}
		for _, name := range strings.Split("abcdefghij", "") {
			if strings.Count(seen, name) != 1 {
				t.Errorf("%s: %s is in %q %d times", order, name, seen, strings.Count(seen, name))
			}
		}
	}
}
