package gcs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
)

// serveRewrite holds the conditions of a copy, makes it take as many requests as Pieces says, and gives it its class.
func (s *Server) serveRewrite(w http.ResponseWriter, r *http.Request) {
	from, to, _ := strings.Cut(r.URL.EscapedPath(), "/rewriteTo/")
	srcBucket, srcKey := target(strings.TrimPrefix(from, "/storage/v1/"))
	dstBucket, dstKey := target(to)
	q := r.URL.Query()
	for _, c := range []struct{ param, bucket, key string }{
		{"ifSourceGenerationMatch", srcBucket, srcKey}, {"ifGenerationMatch", dstBucket, dstKey},
	} {
		a, _, err := s.look(c.bucket, c.key)
		if err != nil {
			jsonError(w, http.StatusInternalServerError, "internalError", err.Error())
			return
		}
		if want := q.Get(c.param); want != "" && want != a.Generation {
			jsonError(w, http.StatusPreconditionFailed, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
			return
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		jsonError(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if token, ok := s.goOn(q.Get("rewriteToken")); !ok {
		jsonError(w, http.StatusBadRequest, "invalid", "The rewrite token is not valid.")
		return
	} else if token != "" {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "storage#rewriteResponse", "done": false, "rewriteToken": token})
		return
	}
	var doc struct {
		Class string `json:"storageClass"`
	}
	if len(body) > 0 && json.Unmarshal(body, &doc) != nil {
		jsonError(w, http.StatusBadRequest, "parseError", "Parse Error")
		return
	}
	if doc.Class == "" {
		s.proxy.ServeHTTP(w, r)
		return
	}
	held := httptest.NewRecorder() // the answer waits until the class is set
	s.proxy.ServeHTTP(held, r)
	if held.Code == http.StatusOK {
		if err := s.setClass(dstBucket, dstKey, doc.Class); err != nil {
			jsonError(w, http.StatusInternalServerError, "internalError", err.Error())
			return
		}
	}
	maps.Copy(w.Header(), held.Header())
	w.WriteHeader(held.Code)
	_, _ = w.Write(held.Body.Bytes())
}

// goOn counts the requests of a copy; token is to go on with, "" when this is the last.
func (s *Server) goOn(token string) (next string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.Pieces
	if token != "" {
		if left, ok = s.copies[token]; !ok {
			return "", false
		}
		delete(s.copies, token)
	}
	if left <= 1 {
		return "", true
	}
	s.nextID++
	next = fmt.Sprintf("rewrite+/%d", s.nextID)
	s.copies[next] = left - 1
	return next, true
}

// setClass gives an object behind its class.
func (s *Server) setClass(bucket, key, class string) error {
	text, err := json.Marshal(map[string]string{"storageClass": class})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPatch, s.backend+"/storage/v1/b/"+bucket+"/o/"+url.PathEscape(key), bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("set class: %s", resp.Status)
	}
	return nil
}

// target reads "b/BUCKET/o/KEY".
func target(path string) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(path, "b/"), "/o/")
	key, _ = url.PathUnescape(key)
	return bucket, key
}
