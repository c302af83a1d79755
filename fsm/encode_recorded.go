package fsm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// encodeRecorded puts a command behind its event as it is: inside of JSON it would grow by a third.
func encodeRecorded(r Recorded) ([]byte, error) {
	entry, err := frame(TypeRecorded, r.Event)
	if err != nil {
		return nil, err
	}
	if r.Command != nil {
		if !recordable(r.Command.Type()) {
			return nil, fmt.Errorf("encode %T: %w: it holds a %T", r, ErrInvalid, r.Command)
		}
		command, err := Encode(r.Command)
		if err != nil {
			return nil, err
		}
		entry = append(entry, command...)
	}
	if len(entry) > MaxEntry {
		return nil, fmt.Errorf("encode %T: %w: %d bytes, at most %d", r.Command, ErrTooLarge, len(entry), MaxEntry)
	}
	return entry, nil
}

// recordable tells whether a command may stand inside of Recorded: single ones may.
func recordable(t Type) bool { return t != TypeBatch && t != TypeRecorded && t != TypeOnce }

func decodeRecorded(rest []byte) (Command, error) {
	var r Recorded
	command, err := unframe(rest, &r.Event)
	if err != nil {
		return nil, fmt.Errorf("decode recorded command: %w", err)
	}
	if len(command) == 0 {
		return r, nil
	}
	c, err := Decode(command)
	if err != nil {
		return nil, fmt.Errorf("decode recorded command: %w", err)
	}
	if !recordable(c.Type()) {
		return nil, fmt.Errorf("decode recorded command: %w: it holds a %T", ErrUnknownFormat, c)
	}
	r.Command = c
	return r, nil
}

func encodeOnce(o Once) ([]byte, error) {
	entry, err := frame(TypeOnce, o)
	if err != nil {
		return nil, err
	}
	recorded, err := encodeRecorded(o.Recorded)
	if err != nil {
		return nil, err
	}
	if entry = append(entry, recorded...); len(entry) > MaxEntry {
		return nil, fmt.Errorf("encode %T: %w: %d bytes, at most %d", o.Recorded.Command, ErrTooLarge, len(entry), MaxEntry)
	}
	return entry, nil
}

func decodeOnce(rest []byte) (Command, error) {
	var o Once
	recorded, err := unframe(rest, &o)
	if err != nil {
		return nil, fmt.Errorf("decode command made once: %w", err)
	}
	c, err := Decode(recorded)
	if err != nil {
		return nil, fmt.Errorf("decode command made once: %w", err)
	}
	r, ok := c.(Recorded)
	if !ok {
		return nil, fmt.Errorf("decode command made once: %w: it holds a %T", ErrUnknownFormat, c)
	}
	o.Recorded = r
	return o, nil
}

// frame begins an entry that goes on after the JSON of a value.
func frame(t Type, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return append(binary.AppendUvarint([]byte{FormatVersion, byte(t)}, uint64(len(text))), text...), nil
}

// unframe reads what frame wrote and returns what comes after it.
func unframe(rest []byte, into any) ([]byte, error) {
	size, n := binary.Uvarint(rest)
	if n <= 0 || size > uint64(len(rest)-n) {
		return nil, fmt.Errorf("%w: bad length", ErrUnknownFormat)
	}
	dec := json.NewDecoder(bytes.NewReader(rest[n : n+int(size)]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return nil, fmt.Errorf("decode %T: %w", into, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("decode %T: %w: bytes after it", into, ErrUnknownFormat)
	}
	return rest[n+int(size):], nil
}
