package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/bucketbrigade/brigade/fsm"
)

// described is the document, read and checked by a library that did not make it. Objects may hold nothing that it does not
// name.
var described = sync.OnceValues(func() (*openapi3.T, error) {
	text, err := openAPI(New(Config{}).routes(), "2.0.0")
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, err
	}
	no := false
	for _, s := range doc.Components.Schemas {
		if len(s.Value.Properties) > 0 {
			s.Value.AdditionalProperties = openapi3.BoolSchema{Has: &no}
		}
	}
	return doc, nil
})

// conform wants every answer of a handler to be as the document says: status, headers, media type and body.
func conform(t *testing.T, h http.Handler) http.Handler {
	t.Helper()
	doc, err := described()
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Last-Event-ID") != "" || r.URL.Path == "/v1/events" {
			h.ServeHTTP(w, r) // which does not end
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := conforms(router, r, rec); err != nil {
			t.Errorf("%s %s answers %d %s: %v", r.Method, r.URL, rec.Code, rec.Body, err)
		}
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

func conforms(router routers.Router, r *http.Request, rec *httptest.ResponseRecorder) error {
	if rec.Header().Get(RequestHeader) == "" {
		return errors.New("it has no request ID")
	}
	if r.Method == http.MethodHead && rec.Code < 300 {
		return nil // as GET, without the body
	}
	route, params, err := router.FindRoute(r)
	if err != nil { // there is no such route, or not for clients
		var p Problem
		return errors.Join(json.Unmarshal(rec.Body.Bytes(), &p), checkProblem(&p, rec))
	}
	if rec.Code >= 400 {
		var p Problem
		if err := errors.Join(json.Unmarshal(rec.Body.Bytes(), &p), checkProblem(&p, rec)); err != nil {
			return err
		}
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	request := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
	if rec.Code < 300 {
		if err := requested(request); err != nil {
			return fmt.Errorf("the request, which is taken: %w", err)
		}
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: request,
		Status:                 rec.Code, Header: rec.Header(), Body: io.NopCloser(bytes.NewReader(rec.Body.Bytes())), Options: options,
	})
}

// requested wants a request that was taken to be as the document says, and its parameters to be named there.
func requested(in *openapi3filter.RequestValidationInput) error {
	for name := range in.Request.URL.Query() {
		if in.Route.Operation.Parameters.GetByInAndName("query", name) == nil {
			return fmt.Errorf("the parameter %s is not named", name)
		}
	}
	if in.Request.Header.Get("Content-Type") == "" {
		in.Request.Header.Set("Content-Type", jsonMedia)
	}
	return openapi3filter.ValidateRequest(in.Request.Context(), in)
}

// checkProblem wants a problem to be one.
func checkProblem(p *Problem, rec *httptest.ResponseRecorder) error {
	switch {
	case rec.Header().Get("Content-Type") != problemMedia, p.Status != rec.Code, p.Title == "":
		return errors.New("it is no problem")
	case p.Request != rec.Header().Get(RequestHeader):
		return errors.New("it names another request ID")
	case !strings.HasPrefix(p.Type, problemPrefix) || !slices.Contains(codes(), p.Code()):
		return errors.New("its type is not known")
	case (p.Status == http.StatusMethodNotAllowed) != (rec.Header().Get("Allow") != ""):
		return errors.New("it does not name methods")
	}
	return nil
}

func TestDocumentIsValid(t *testing.T) {
	text, err := openAPI(New(Config{}).routes(), "2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
	for name, s := range doc.Components.Schemas {
		if s.Value.Description == "" {
			t.Errorf("the schema %s has no description: its file is not named in comments.go", name)
		}
	}
	ids := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" {
				t.Errorf("%s %s: operation %q, %q", method, path, op.OperationID, op.Summary)
			}
			ids[op.OperationID] = true
		}
	}
}

// TestDocumentHasEveryRoute compares the document with the routes that are served, both ways, and with their roles.
func TestDocumentHasEveryRoute(t *testing.T) {
	b := newBench(t)
	_, text := b.request(http.MethodGet, "/openapi.json", "", nil)
	var doc struct {
		OpenAPI string
		Info    struct{ Version string }
		Paths   map[string]map[string]struct{ Security []map[string][]string }
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for path, item := range doc.Paths {
		for method, op := range item {
			got[strings.ToUpper(method)+" "+path] = fmt.Sprint(op.Security)
			// The mux has to lead there and nowhere else.
			r := httptest.NewRequest(strings.ToUpper(method), strings.NewReplacer("{id}", "x", "{name}", "x").Replace(path), nil)
			if _, pattern := b.server.mux.Handler(r); pattern != strings.ToUpper(method)+" "+path {
				t.Errorf("%s %s leads to %q", method, path, pattern)
			}
		}
	}
	for pattern, role := range wantedRoles() {
		want := fmt.Sprintf("[map[token:[%s]]]", role)
		switch role {
		case anyone:
			want = "[]"
		case peers:
			want = ""
		}
		if got[pattern] != want {
			t.Errorf("%s is open to %q, want %q", pattern, got[pattern], want)
		}
		delete(got, pattern)
	}
	if len(got) > 0 || doc.OpenAPI != "3.1.0" || doc.Info.Version != "2.0.0" {
		t.Errorf("the document of %s %s has more than there is: %v", doc.OpenAPI, doc.Info.Version, got)
	}
}

// TestAnswersThatDoNotConform makes sure that conform sees something: the other tests rely on it.
func TestAnswersThatDoNotConform(t *testing.T) {
	doc, err := described()
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path, media, body string
		status            int
		good              bool
	}{
		"as it should be":   {"/v1/node", jsonMedia, `{"id":"n","index":3}`, 200, true},
		"field missing":     {"/v1/node", jsonMedia, `{"index":3}`, 200, false},
		"field not named":   {"/v1/node", jsonMedia, `{"id":"n","secret":"x"}`, 200, false},
		"wrong type":        {"/v1/node", jsonMedia, `{"id":7}`, 200, false},
		"inner wrong type":  {"/v1/machines", jsonMedia, `{"leader":"","nodes":[{"id":1}]}`, 200, false},
		"no list":           {"/v1/machines", jsonMedia, `{"leader":"","nodes":null}`, 200, false},
		"not JSON":          {"/v1/node", jsonMedia, `<html>`, 200, false},
		"other media type":  {"/v1/node", "text/html", `{"id":"n"}`, 200, false},
		"status not named":  {"/v1/node", jsonMedia, `{"id":"n"}`, 201, false},
		"problem":           {"/v1/node", problemMedia, `{"type":"urn:brigade:problem:internal","title":"t","status":500,"request_id":"r"}`, 500, true},
		"other status":      {"/v1/node", problemMedia, `{"type":"urn:brigade:problem:internal","title":"t","status":503,"request_id":"r"}`, 500, false},
		"unknown type":      {"/v1/node", problemMedia, `{"type":"urn:brigade:problem:x","title":"t","status":500,"request_id":"r"}`, 500, false},
		"parameter unnamed": {"/v1/node?x=1", jsonMedia, `{"id":"n","index":3}`, 200, false},
		"parameter named":   {"/v1/jobs?limit=7&after=x", jsonMedia, `{"jobs":[]}`, 200, true},
		"parameter wrong":   {"/v1/jobs?limit=many", jsonMedia, `{"jobs":[]}`, 200, false},
		"unknown path":      {"/nothing", problemMedia, `{"type":"urn:brigade:problem:not-found","title":"t","status":404,"request_id":"r"}`, 404, true},
		"unknown path, not": {"/nothing", "text/plain", `404 page not found`, 404, false},
	} {
		rec := httptest.NewRecorder()
		rec.Header().Set("Content-Type", test.media)
		rec.Header().Set(RequestHeader, "r")
		rec.WriteHeader(test.status)
		rec.Body.WriteString(test.body)
		if err := conforms(router, httptest.NewRequest(http.MethodGet, test.path, nil), rec); (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEveryRouteAnswers asks each route for what is no problem, and so has conform see the answer.
func TestEveryRouteAnswers(t *testing.T) {
	room := &keyRoom{}
	b := newBench(t, func(c *Config) { c.Keys, c.Spool, c.Notices = room, heldSegments{}, &tongue{} })
	room.say(keyNode(benchNode, oldKey, nextKey))
	b.bring(fsm.Failed)
	b.failed = []KeyError{NewKeyError("b\xff", "other", "x")}
	asked := map[string]bool{}
	ask := func(pattern, body string, want int) {
		t.Helper()
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{name}", "ann", "machines/{id}", "machines/"+benchNode, "{id}", "j").Replace(path)
		header := map[string]string{KeyHeader: newKey(), "If-Match": "*"}
		switch pattern {
		case "GET /v1/jobs/{id}/why":
			path += "?key=a"
		case segmentsPattern:
			header["Content-Type"] = bytesMedia
		}
		if resp, text := b.request(method, path, body, header); resp.StatusCode != want {
			t.Errorf("%s: %s: %s", pattern, resp.Status, text)
		}
		asked[pattern] = true
	}
	for _, rt := range b.server.routes() {
		if strings.HasPrefix(rt.pattern, http.MethodGet) && rt.role != peers {
			ask(rt.pattern, "", 200)
		}
	}
	ask("POST /v1/jobs", `{"id":"photos"}`, 201)
	ask("POST /v1/preview", `{"id":"photos"}`, 200)
	ask(segmentsPattern, "packed", 200)
	ask("PUT /v1/jobs/{id}/spec", `{"id":"j","rest":"x"}`, 200)
	ask("POST /v1/key/switch", "", 200)
	ask("POST /v1/key/back", "", 200)
	ask("POST /v1/key/finish", "", 200)
	ask("POST /v1/jobs/{id}/retry", "", 200)
	ask("POST /v1/jobs/{id}/pause", `{"reason":"lunch"}`, 200)
	ask("POST /v1/jobs/{id}/continue", "", 200)
	ask("POST /v1/jobs/{id}/pause", "", 200)
	ask("POST /v1/jobs/{id}/redo", "", 200)
	ask("DELETE /v1/jobs/{id}", "", 200)
	ask("POST /v1/machines/{id}/drain", "", 200)
	ask("POST /v1/machines/{id}/undrain", "", 200)
	ask("PUT /v1/settings", `{"settings":{"max-worker-num":"3"}}`, 200)
	ask("POST /v1/tokens", `{"name":"ann","role":"viewer"}`, 201)
	ask("POST /v1/notices/test", `{"to":"ops@example.com"}`, 200)
	ask("GET /v1/tokens", "", 200)
	ask("GET /v1/history", "", 200)
	ask("DELETE /v1/tokens/{name}", "", 200)
	ask("POST /v1/node/stop", "", 202)
	ask("POST /v1/node/leave", "", 202)
	for _, rt := range b.server.routes() {
		if !asked[rt.pattern] && rt.role != peers {
			t.Errorf("%s is not asked", rt.pattern)
		}
	}
}
