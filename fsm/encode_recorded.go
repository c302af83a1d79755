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
	event, err := json.Marshal(r.Event)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	entry := binary.AppendUvarint([]byte{FormatVersion, byte(TypeRecorded)}, uint64(len(event)))
	entry = append(entry, event...)
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
func recordable(t Type) bool { return t != TypeBatch && t != TypeRecorded }

func decodeRecorded(rest []byte) (Command, error) {
	size, n := binary.Uvarint(rest)
	if n <= 0 || size > uint64(len(rest)-n) {
		return nil, fmt.Errorf("decode recorded command: %w: bad length", ErrUnknownFormat)
	}
	var r Recorded
	dec := json.NewDecoder(bytes.NewReader(rest[n : n+int(size)]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r.Event); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("decode event: %w: bytes after it", ErrUnknownFormat)
	}
	command := rest[n+int(size):]
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
