package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
)

const (
	jsonMedia = "application/json"
	yamlMedia = "application/yaml"

	bytesMedia = "application/octet-stream"
)

// checkMedia refuses a body of a kind that the route does not take. One that does not say what it is may be anything.
func (rt *route) checkMedia(in *call) error {
	given := in.Header.Get("Content-Type")
	if len(in.body) == 0 || given == "" || rt.about.body == nil {
		return nil
	}
	media, _, err := mime.ParseMediaType(given)
	if err == nil && slices.Contains(rt.about.media, media) {
		return nil
	}
	return problemf(http.StatusUnsupportedMediaType, CodeMediaType, "unsupported media type", "the body is said to be %q; this takes %s",
		clean(given, maxTarget), either(rt.about.media))
}

func bodyProblem(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return problemf(http.StatusRequestEntityTooLarge, CodeTooLarge, "body too large", "the body has more than %d bytes", tooLarge.Limit)
	}
	return problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "the body did not arrive in full")
}

// decode reads a JSON body strictly.
func decode(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, more := dec.Token(); more == io.EOF {
			return nil
		}
		return malformed("the body holds more than one document")
	}
	var wrong *json.UnmarshalTypeError
	unknown, isUnknown := strings.CutPrefix(err.Error(), "json: unknown field ")
	switch {
	case errors.As(err, &wrong):
		p := problemf(http.StatusBadRequest, CodeWrongType, "wrong type", "the body: %s is of the type %s, where %s is wanted",
			named(wrong.Field), wrong.Value, wrong.Type)
		p.Field = wrong.Field
		return p
	case isUnknown:
		p := problemf(http.StatusBadRequest, CodeUnknownField, "unknown field", "the body: the field %s is not known here", unknown)
		p.Field = strings.Trim(unknown, `"`)
		return p
	case len(bytes.TrimSpace(body)) == 0:
		return malformed("a body in JSON is wanted")
	}
	return malformed("the body is not JSON: " + err.Error())
}

func malformed(detail string) error {
	return problemf(http.StatusBadRequest, CodeMalformed, "malformed body", "%s", detail)
}

func named(field string) string {
	if field == "" {
		return "it"
	}
	return fmt.Sprintf("the field %q", field)
}
