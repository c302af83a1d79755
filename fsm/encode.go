package fsm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Type implements Command.
func (Batch) Type() Type         { return TypeBatch }
func (SubmitJob) Type() Type     { return TypeSubmitJob }
func (StartPass) Type() Type     { return TypeStartPass }
func (FinishPass) Type() Type    { return TypeFinishPass }
func (PauseJob) Type() Type      { return TypePauseJob }
func (ContinueJob) Type() Type   { return TypeContinueJob }
func (CancelJob) Type() Type     { return TypeCancelJob }
func (RetryJob) Type() Type      { return TypeRetryJob }
func (AssignTasks) Type() Type   { return TypeAssignTasks }
func (ReleaseTasks) Type() Type  { return TypeReleaseTasks }
func (AdvanceTask) Type() Type   { return TypeAdvanceTask }
func (FailTask) Type() Type      { return TypeFailTask }
func (SplitTask) Type() Type     { return TypeSplitTask }
func (PlanUpload) Type() Type    { return TypePlanUpload }
func (OpenUpload) Type() Type    { return TypeOpenUpload }
func (CloseUpload) Type() Type   { return TypeCloseUpload }
func (FoldSegments) Type() Type  { return TypeFoldSegments }
func (RemoveJob) Type() Type     { return TypeRemoveJob }
func (RedoJob) Type() Type       { return TypeRedoJob }
func (SetSettings) Type() Type   { return TypeSetSettings }
func (SetNode) Type() Type       { return TypeSetNode }
func (SetClusterID) Type() Type  { return TypeSetClusterID }
func (FixPlaces) Type() Type     { return TypeFixPlaces }
func (SetJobLimits) Type() Type  { return TypeSetJobLimits }
func (EditJob) Type() Type       { return TypeEditJob }
func (ShareParts) Type() Type    { return TypeShareParts }
func (PutToken) Type() Type      { return TypePutToken }
func (RemoveToken) Type() Type   { return TypeRemoveToken }
func (Recorded) Type() Type      { return TypeRecorded }
func (Once) Type() Type          { return TypeOnce }
func (SwitchKey) Type() Type     { return TypeSwitchKey }
func (ResealJob) Type() Type     { return TypeResealJob }
func (RetireKey) Type() Type     { return TypeRetireKey }
func (PostNotice) Type() Type    { return TypePostNotice }
func (AckNotices) Type() Type    { return TypeAckNotices }
func (ResealSetting) Type() Type { return TypeResealSetting }

// Encode returns a command as it stands in the log: a byte of format, a byte of type and JSON. It refuses with
// ErrTooLarge what exceeds MaxEntry, and an AdvanceTask beyond MaxAdvance (MaxScanAdvance with cuts).
func Encode(c Command) ([]byte, error) {
	if b, ok := c.(Batch); ok {
		return encodeBatch(b)
	}
	if r, ok := c.(Recorded); ok {
		return encodeRecorded(r)
	}
	if o, ok := c.(Once); ok {
		return encodeOnce(o)
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", c, err)
	}
	entry := append([]byte{FormatVersion, byte(c.Type())}, body...)
	if limit := sizeLimit(c); len(entry) > limit {
		return nil, fmt.Errorf("encode %T: %w: %d bytes, at most %d", c, ErrTooLarge, len(entry), limit)
	}
	return entry, nil
}

func sizeLimit(c Command) int {
	if p, ok := c.(*AdvanceTask); ok {
		c = *p
	}
	a, ok := c.(AdvanceTask)
	switch {
	case !ok:
		return MaxEntry
	case len(a.Cuts) > 0:
		return MaxScanAdvance
	default:
		return MaxAdvance
	}
}

func encodeBatch(b Batch) ([]byte, error) {
	parts := make([][]byte, len(b.Commands))
	for i, c := range b.Commands {
		part, err := Encode(c)
		if err != nil {
			return nil, fmt.Errorf("encode batch: %w", err)
		}
		parts[i] = part
	}
	return JoinBatch(parts)
}

// JoinBatch makes the entry of a Batch from commands that Encode returned; each costs its length and at most three
// bytes. Batches do not nest.
func JoinBatch(encoded [][]byte) ([]byte, error) {
	entry := []byte{FormatVersion, byte(TypeBatch)}
	for _, part := range encoded {
		if len(part) < 2 || Type(part[1]) == TypeBatch {
			return nil, fmt.Errorf("join batch: %w: not a single command", ErrInvalid)
		}
		entry = binary.AppendUvarint(entry, uint64(len(part)))
		entry = append(entry, part...)
	}
	if len(entry) > MaxEntry {
		return nil, fmt.Errorf("join batch: %w: %d bytes, at most %d", ErrTooLarge, len(entry), MaxEntry)
	}
	return entry, nil
}

// Decode is the reverse of Encode. It is strict: what this binary does not know in full must stop the node.
func Decode(entry []byte) (Command, error) {
	if len(entry) < 2 {
		return nil, fmt.Errorf("decode command: %w: %d bytes", ErrUnknownFormat, len(entry))
	}
	if entry[0] != FormatVersion {
		return nil, fmt.Errorf("decode command: %w: version %d, this binary knows %d", ErrUnknownFormat, entry[0], FormatVersion)
	}
	if Type(entry[1]) == TypeBatch {
		return decodeBatch(entry[2:])
	}
	if Type(entry[1]) == TypeRecorded {
		return decodeRecorded(entry[2:])
	}
	if Type(entry[1]) == TypeOnce {
		return decodeOnce(entry[2:])
	}
	return decodeOne(Type(entry[1]), entry[2:])
}

func decodeBatch(rest []byte) (Command, error) {
	var b Batch
	for len(rest) > 0 {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return nil, fmt.Errorf("decode batch: %w: bad length", ErrUnknownFormat)
		}
		part := rest[n : n+int(size)]
		rest = rest[n+int(size):]
		c, err := Decode(part)
		if err != nil {
			return nil, fmt.Errorf("decode batch: %w", err)
		}
		if c.Type() == TypeBatch {
			return nil, fmt.Errorf("decode batch: %w: nested", ErrUnknownFormat)
		}
		b.Commands = append(b.Commands, c)
	}
	return b, nil
}

func decodeOne(t Type, body []byte) (Command, error) {
	switch t {
	case TypeSubmitJob:
		return decodeAs[SubmitJob](body)
	case TypeStartPass:
		return decodeAs[StartPass](body)
	case TypeFinishPass:
		return decodeAs[FinishPass](body)
	case TypePauseJob:
		return decodeAs[PauseJob](body)
	case TypeContinueJob:
		return decodeAs[ContinueJob](body)
	case TypeCancelJob:
		return decodeAs[CancelJob](body)
	case TypeRetryJob:
		return decodeAs[RetryJob](body)
	case TypeAssignTasks:
		return decodeAs[AssignTasks](body)
	case TypeReleaseTasks:
		return decodeAs[ReleaseTasks](body)
	case TypeAdvanceTask:
		return decodeAs[AdvanceTask](body)
	case TypeFailTask:
		return decodeAs[FailTask](body)
	case TypeSplitTask:
		return decodeAs[SplitTask](body)
	case TypePlanUpload:
		return decodeAs[PlanUpload](body)
	case TypeOpenUpload:
		return decodeAs[OpenUpload](body)
	case TypeCloseUpload:
		return decodeAs[CloseUpload](body)
	case TypeFoldSegments:
		return decodeAs[FoldSegments](body)
	case TypeRemoveJob:
		return decodeAs[RemoveJob](body)
	case TypeRedoJob:
		return decodeAs[RedoJob](body)
	case TypeSetSettings:
		return decodeAs[SetSettings](body)
	case TypeSetNode:
		return decodeAs[SetNode](body)
	case TypeSetClusterID:
		return decodeAs[SetClusterID](body)
	case TypeFixPlaces:
		return decodeAs[FixPlaces](body)
	case TypePostNotice:
		return decodeAs[PostNotice](body)
	case TypeAckNotices:
		return decodeAs[AckNotices](body)
	case TypeResealSetting:
		return decodeAs[ResealSetting](body)
	case TypeEditJob:
		return decodeAs[EditJob](body)
	case TypeSetJobLimits:
		return decodeAs[SetJobLimits](body)
	case TypeShareParts:
		return decodeAs[ShareParts](body)
	case TypePutToken:
		return decodeAs[PutToken](body)
	case TypeRemoveToken:
		return decodeAs[RemoveToken](body)
	case TypeSwitchKey:
		return decodeAs[SwitchKey](body)
	case TypeResealJob:
		return decodeAs[ResealJob](body)
	case TypeRetireKey:
		return decodeAs[RetireKey](body)
	default:
		return nil, fmt.Errorf("decode command: %w: type %d", ErrUnknownFormat, t)
	}
}

func decodeAs[C Command](body []byte) (Command, error) {
	var c C
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("decode %T: %w", c, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("decode %T: %w: bytes after the command", c, ErrUnknownFormat)
	}
	return c, nil
}
