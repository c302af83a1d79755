package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
)

func newCtlCA(a *app, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "ca",
		Short: "Print the certificate by which other programs trust the nodes",
		Long: `Ca prints the certificate of the cluster's authority as PEM. By it curl, browsers and monitoring trust the API of every node,
which is certified for the name brigade-api. It is no secret. The node is checked by the authority that the token file
names; ctl itself needs no certificate.`,
		Example: `  brigade ctl --addr 10.0.0.1:7460 --token-file alice.token ca > brigade.pem
  curl --cacert brigade.pem --connect-to brigade-api:7460:10.0.0.1:7460 https://brigade-api:7460/healthz`,
		Args: argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				text, err := c.Authority(ctx)
				if err != nil {
					return err
				}
				if wantsJSON(cmd) {
					return a.encode(map[string]string{"certificate": string(text)})
				}
				_, err = a.out.Write(text)
				return err
			})
		},
	}
}
