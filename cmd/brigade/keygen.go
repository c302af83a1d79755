package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/cluster"
)

func newKeygen(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "keygen [FILE]",
		Short: "Make a new cluster key",
		Long: `Keygen writes a new random cluster key into FILE (default ./cluster.key), readable by its owner only. All nodes of a cluster get the same key:
with it they know each other, encrypt what they say to each other, and seal the credentials of jobs.`,
		Example: `  brigade keygen /etc/brigade/cluster.key
  brigade node start --cluster-key-file /etc/brigade/cluster.key --join 10.0.0.1`,
		Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "cluster.key"
			if len(args) > 0 {
				file = args[0]
			}
			if _, err := cluster.NewKeyFile(file); errors.Is(err, fs.ErrExist) {
				return refused(fmt.Errorf("%s exists and is left alone; give another name", file))
			} else if err != nil {
				return refused(err)
			}
			if wantsJSON(cmd) {
				return json.NewEncoder(a.out).Encode(map[string]string{"file": file})
			}
			_, err := fmt.Fprintf(a.out, "%s holds a new cluster key; copy it to every node, and keep it from everybody else\n", file)
			return err
		},
	}
}
