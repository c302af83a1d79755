package fsm

import (
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
)

// TestSealedSettings: a key is not retired while a setting is sealed with it, and only what still is as it was read is sealed again.
func TestSealedSettings(t *testing.T) {
	s := newState()
	apply := func(c Command, want error) {
		t.Helper()
		if err := s.apply(c); !errors.Is(err, want) {
			t.Fatalf("%T: %v, want %v", c, err, want)
		}
	}
	old, now := sealedBy(keyA, "old"), sealedBy(keyB, "new")
	was, other := sha256.Sum256(old), sha256.Sum256(now)
	apply(SetSettings{map[string]string{"mail.password": SealedSetting(old), "mail.user": "ann", "odd": sealedPrefix + "%"}}, nil)
	if got := s.SettingsSealedWith(keyA); !slices.Equal(got, []string{"mail.password"}) {
		t.Errorf("sealed with the old key: %v", got)
	}
	if sealed, ok := OpenableSetting(s.Setting("mail.password")); !ok || string(sealed) != string(old) {
		t.Errorf("the state gives back %q, %v", sealed, ok)
	}
	if _, ok := OpenableSetting(s.Setting("odd")); ok {
		t.Error("what is no base64 can be opened")
	}
	apply(ResealSetting{Name: "mail.password", Was: was[:], Sealed: now}, ErrKeyState)
	apply(SwitchKey{From: keyA, To: keyB, At: 1}, nil)
	apply(RetireKey{Key: keyA, At: 2}, ErrKeyInUse)
	apply(ResealSetting{Name: "mail.password", Was: other[:], Sealed: now}, ErrSealChanged)
	apply(ResealSetting{Name: "mail.user", Was: was[:], Sealed: now}, ErrSealChanged)
	apply(ResealSetting{Name: "none", Was: was[:], Sealed: now}, ErrSealChanged)
	apply(ResealSetting{Name: "mail.password", Was: was[:], Sealed: append(slices.Clone(now), make([]byte, maxValue)...)}, ErrInvalid)
	apply(ResealSetting{Name: "mail.password", Was: was[:], Sealed: now}, nil)
	if got := s.Setting("mail.password"); got != SealedSetting(now) || len(s.SettingsSealedWith(keyA)) > 0 {
		t.Errorf("the setting is %q", got)
	}
	apply(RetireKey{Key: keyA, At: 3}, nil)
	apply(SetSettings{map[string]string{"mail.password": SealedSetting(old)}}, ErrKeyRetired)
	apply(SetSettings{map[string]string{"mail.password": ""}}, nil)
}
