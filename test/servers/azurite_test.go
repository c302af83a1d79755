package servers

import "testing"

func TestAzuriteStartsAndServes(t *testing.T) {
	a := StartAzurite(t)
	name := a.NewContainer(t)
	if _, err := a.Client(t).UploadBuffer(t.Context(), name, "a b=c?", []byte("x"), nil); err != nil {
		t.Errorf("upload: %v", err)
	}
}

func TestSharedAzuriteStartsOnce(t *testing.T) {
	var shared SharedAzurite
	first, second := shared.Azurite(t), shared.Azurite(t)
	if first != second {
		t.Error("the second test got another server")
	}
	if err := shared.Stop(); err != nil {
		t.Fatalf("Stop: %v", err)
	}
	select {
	case <-first.process.exited:
	default:
		t.Error("the server still runs after Stop")
	}
}
