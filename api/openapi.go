package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/bucketbrigade/brigade/fsm"
)

// Document is an OpenAPI document.
type Document map[string]any

// JobDescription is a job file as JSON or YAML. docs/guide.md tells of its keys.
type JobDescription map[string]any

// Events is a stream of server-sent events.
type Events string

const (
	schemaPath = "#/components/schemas/"
	tokenAuth  = "token"
)

func (s *Server) showDocument(context.Context, *call) (*reply, error) {
	text, err := s.openAPI()
	if err != nil {
		return nil, err
	}
	return &reply{document: json.RawMessage(text)}, nil
}

// openAPI makes the OpenAPI document of routes. What is for other nodes only is not in it.
func openAPI(routes []route, version string) ([]byte, error) {
	d := &describer{schemas: map[string]*jsonschema.Schema{}, comments: map[string]string{}}
	if err := d.readComments(); err != nil {
		return nil, err
	}
	for _, t := range []reflect.Type{reflect.TypeFor[Problem](), reflect.TypeFor[JobChange](), reflect.TypeFor[NodeChange](),
		reflect.TypeFor[LeaderChange](), reflect.TypeFor[Reset]()} {
		d.schema(t)
	}
	if d.err != nil {
		return nil, d.err
	}
	for _, code := range codes() { // examples, for later versions have more
		example := &d.schemas["Problem"].Properties["type"].Examples
		*example = append(*example, problemPrefix+code)
	}
	paths := map[string]map[string]any{}
	for _, rt := range routes {
		if rt.role == peers {
			continue
		}
		method, path, _ := strings.Cut(rt.pattern, " ")
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(method)] = d.operation(rt, method, path)
	}
	if d.err != nil {
		return nil, d.err
	}
	return json.Marshal(map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "Brigade", "version": version, "summary": "Moves data between object stores, file systems and URL lists",
			"description": "Every node answers every request. docs/api.md tells of tokens, problems, idempotency keys and events.",
			"license":     map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []any{map[string]any{"url": "/"}},
		"paths":   paths,
		"components": map[string]any{
			"schemas": d.schemas,
			"headers": headers(),
			"securitySchemes": map[string]any{tokenAuth: map[string]any{
				"type": "http", "scheme": "bearer",
				"description": "A token has a role: viewer, operator or admin. Each may do what the one before it may. A route names the least that it takes.",
			}},
		},
	})
}

func headers() map[string]any {
	header := func(kind, meaning string) any {
		return map[string]any{"description": meaning, "schema": map[string]any{"type": kind}}
	}
	return map[string]any{
		RequestHeader: header("string", "The ID that log and history know the request by"),
		IndexHeader:   header("integer", "Of the log, when the answer was made"),
		StaleHeader:   header("string", "true: the node sees no leader, the state may be old"),
		ReplayHeader:  header("string", "true: the request was done before, under its key"),
		VersionHeader: header("string", "Of the node that answers"),
		"Location":    header("string", "Where what was made is"),
		"Etag":        header("string", "Of which revision the answer is"),
		"Retry-After": header("integer", "Seconds after which the request may do better"),
	}
}

// describer gathers schemas on the way through the routes.
type describer struct {
	schemas  map[string]*jsonschema.Schema
	comments map[string]string // of types and their fields
	err      error
}

func (d *describer) operation(rt route, method, path string) map[string]any {
	o := rt.about
	op := map[string]any{
		"operationId": o.id, "summary": o.summary, "tags": []string{tagOf(path)}, "responses": d.responses(rt), "security": []any{},
	}
	if rt.role != anyone {
		op["security"] = []any{map[string]any{tokenAuth: []string{string(rt.role)}}}
	}
	if parameters := d.parameters(o, method, path); len(parameters) > 0 {
		op["parameters"] = parameters
	}
	if o.body != nil {
		content := map[string]any{}
		for _, media := range o.media {
			content[media] = map[string]any{"schema": d.schema(reflect.TypeOf(o.body))}
		}
		op["requestBody"] = map[string]any{"required": o.needed, "content": content}
	}
	return op
}

// tagOf is the group that a path is shown in.
func tagOf(path string) string {
	parts := strings.Split(path, "/")
	if parts[1] != "v1" {
		return "service"
	}
	return parts[2]
}

func (d *describer) parameters(o operation, method, path string) (all []any) {
	for _, part := range strings.Split(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			all = append(all, map[string]any{
				"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": map[string]any{"type": "string"},
			})
		}
	}
	if method != http.MethodGet {
		o = o.with(KeyHeader, "header", "string",
			"The request can be sent again with the same key, for a day, and takes effect once. 16 to 128 letters, digits and -_.:, best a UUID.")
	}
	for _, p := range o.parameters {
		all = append(all, map[string]any{"name": p.name, "in": p.in, "description": p.meaning, "schema": map[string]any{"type": p.kind}})
	}
	return all
}

// responses are the answer and the problems that a route may have.
func (d *describer) responses(rt route) map[string]any {
	refer := func(names ...string) map[string]any {
		all := map[string]any{}
		for _, name := range names {
			all[name] = map[string]any{"$ref": "#/components/headers/" + name}
		}
		return all
	}
	names := []string{RequestHeader}
	if rt.role != anyone {
		names = append(names, VersionHeader)
	}
	media := jsonMedia
	switch rt.about.answer {
	case Events(""):
		media = eventMedia
	case Exposition(""):
		media = textMedia
	default:
		names = append(names, IndexHeader, StaleHeader)
	}
	if !strings.HasPrefix(rt.pattern, http.MethodGet) {
		names = append(names, ReplayHeader)
	}
	if rt.about.located {
		names = append(names, "Location")
	}
	if rt.about.revised {
		names = append(names, "Etag")
	}
	responses := map[string]any{strconv.Itoa(rt.about.status): map[string]any{
		"description": http.StatusText(rt.about.status), "headers": refer(names...),
		"content": map[string]any{media: map[string]any{"schema": d.schema(reflect.TypeOf(rt.about.answer))}},
	}}
	for _, status := range rt.problems() {
		names := []string{RequestHeader}
		if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
			names = append(names, "Retry-After")
		}
		responses[strconv.Itoa(status)] = map[string]any{
			"description": http.StatusText(status), "headers": refer(names...),
			"content": map[string]any{problemMedia: map[string]any{"schema": d.schema(reflect.TypeFor[Problem]())}},
		}
	}
	return responses
}

// problems are the statuses of the problems that a route may answer with.
func (rt *route) problems() []int {
	all := append([]int{
		http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusInternalServerError,
	}, rt.about.problems...)
	if rt.role != anyone {
		all = append(all, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable)
	}
	if rt.about.body != nil {
		all = append(all, http.StatusUnsupportedMediaType)
	}
	if !strings.HasPrefix(rt.pattern, http.MethodGet) {
		all = append(all, http.StatusConflict, http.StatusUnprocessableEntity)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// schema is the schema of a type. Structs of this package are kept apart and referred to.
func (d *describer) schema(t reflect.Type) *jsonschema.Schema {
	known := map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[[]byte]():          {Type: "string", ContentEncoding: "base64"},
		reflect.TypeFor[time.Time]():       {Type: "string", Format: "date-time"},
		reflect.TypeFor[json.RawMessage](): {},
		reflect.TypeFor[Segment]():         {Type: "string", Format: "binary"},
		reflect.TypeFor[fsm.Role]():        oneOf(fsm.Viewer, fsm.Operator, fsm.Admin),
		reflect.TypeFor[fsm.JobState](): oneOf(fsm.Pending, fsm.Running, fsm.Paused, fsm.Waiting, fsm.Succeeded, fsm.Failed,
			fsm.Canceled),
		reflect.TypeFor[fsm.TaskKind](): oneOf(fsm.ScanTask, fsm.RangeTask, fsm.ListTask, fsm.RelistTask, fsm.PartsTask),
	}
	if !ours(t) {
		s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: known})
		d.note(t, err)
		return s
	}
	ref := &jsonschema.Schema{Ref: schemaPath + t.Name()}
	if d.schemas[t.Name()] != nil {
		return ref
	}
	d.schemas[t.Name()] = &jsonschema.Schema{} // for the types that refer to it
	for _, inner := range parts(t) {
		known[inner] = d.schema(inner)
	}
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: known})
	if err != nil {
		d.note(t, err)
		return ref
	}
	d.tidy(t, s)
	d.schemas[t.Name()] = s
	return ref
}

func (d *describer) note(t reflect.Type, err error) {
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("schema of %s: %w", t, err)
	}
}

// ours tells whether a type is a struct of this package.
func ours(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == reflect.TypeFor[Job]().PkgPath()
}

// parts are the structs of this package that fields of a struct hold, but for those that are embedded.
func parts(t reflect.Type) (all []reflect.Type) {
	for _, f := range reflect.VisibleFields(t) {
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if f.IsExported() && !f.Anonymous && ours(inner) {
			all = append(all, inner)
		}
	}
	return all
}

// tidy says what Go's types do not: lists are never null, a reference that may be absent is not null either, and a later
// version may answer more than this one.
func (d *describer) tidy(t reflect.Type, s *jsonschema.Schema) {
	s.Description = d.comments[t.Name()]
	s.AdditionalProperties = nil
	owner := map[string]string{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		owner[name] = t.Name()
		if len(f.Index) > 1 {
			owner[name] = t.FieldByIndex(f.Index[:len(f.Index)-1]).Type.Name()
		}
	}
	for name, field := range s.Properties {
		if slices.Equal(field.Types, []string{"null", "array"}) {
			field.Type, field.Types = "array", nil
		}
		if field.Ref != "" {
			field.Types = nil
		}
		field.Description = d.comments[owner[name]+"."+name]
	}
}

func oneOf[T ~string](values ...T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	return s
}
