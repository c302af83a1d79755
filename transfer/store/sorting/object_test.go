package sorting

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// fill sets every field below v to something that is not its zero value, and each to something else. It fails for types that it
// does not know, so that what is added to store.Object is added to the records, too.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = time.Unix(int64(*n), 123456789).UTC()
		return
	case *error:
		*at = &store.Error{Op: "list", Key: "k", Class: store.Auth, Code: "EACCES", RequestID: "r1", Hint: "h", RetryAfter: time.Second, Err: errors.New("cause")}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d \xff\x00", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(int64(*n) << 33)
	case reflect.Uint8:
		v.SetUint(uint64(store.KindSkipped))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{fmt.Sprint("name ", *n): "value \xff", "": ""}))
	default:
		t.Fatalf("a field of type %v: nobody says how it is kept", v.Type())
	}
}

func TestObjectsAreKeptWhole(t *testing.T) {
	var full store.Object
	n := 0
	fill(t, reflect.ValueOf(&full).Elem(), &n)
	emptyMaps := full
	emptyMaps.Meta = &store.Metadata{User: map[string]string{}}
	noMeta := full
	noMeta.Meta, noMeta.Err, noMeta.Written = nil, nil, time.Time{}
	for name, want := range map[string]store.Object{
		"everything set": full,
		"nothing set":    {},
		"empty maps":     emptyMaps,
		"no pointers":    noMeta,
		"usual":          {Key: "a/b", Size: 1, ModTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ETag: "x", Sums: store.Checksums{MD5: "0123456789abcdef"}},
		"negative":       {Key: "a", Size: -1, ModTime: time.Date(1, 1, 2, 3, 4, 5, 6, time.UTC)},
		"old times":      {Key: "a", ModTime: time.Unix(-1, 5).UTC(), Written: time.Unix(0, 0).UTC()},
	} {
		record := appendObject(nil, &want)
		got, err := decodeObject(want.Key, record)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(sameError)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for cut := range record {
			if _, err := decodeObject(want.Key, record[:cut]); err == nil {
				t.Fatalf("%s: the first %d bytes of %d read as an object", name, cut, len(record))
			}
		}
	}
}

// sameError compares what a caller can ask of an error.
func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	var ea, eb *store.Error
	if !errors.As(a, &ea) || !errors.As(b, &eb) {
		return false
	}
	return a.Error() == b.Error() && ea.Class == eb.Class && ea.RetryAfter == eb.RetryAfter && ea.Hint == eb.Hint && ea.Key == eb.Key
}

func TestErrorsWithoutAClassKeepTheirs(t *testing.T) {
	want := store.Object{Key: "a", Err: fmt.Errorf("wrapped: %w", &store.Error{Op: "stat", Class: store.Full, Err: errors.New("x")})}
	got, err := decodeObject("a", appendObject(nil, &want))
	if err != nil || store.ClassOf(got.Err) != store.Full {
		t.Errorf("%v, %v", got.Err, err)
	}
	want.Err = errors.New("nobody classified this")
	got, err = decodeObject("a", appendObject(nil, &want))
	if err != nil || store.ClassOf(got.Err) != store.Transient || got.Err.Error() != ": "+want.Err.Error() {
		t.Errorf("%v, %v", got.Err, err)
	}
}

// FuzzRecord: whatever stands in a temporary file, it is an object or an error.
func FuzzRecord(f *testing.F) {
	o := store.Object{Size: 5, ETag: "x", ModTime: time.Unix(1, 2), Meta: &store.Metadata{User: map[string]string{"a": "b"}}, Err: errors.New("x")}
	f.Add(appendObject(nil, &o))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := decodeObject("k", data)
		if err != nil {
			return
		}
		again, err := decodeObject("k", appendObject(nil, &o))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(o, again, cmp.Comparer(sameError)); diff != "" {
			t.Errorf("read, written and read (-first +second):\n%s", diff)
		}
	})
}
