package s3

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Limits of S3, https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html and UsingMetadata.html.
const (
	maxKey       = 1024    // bytes
	smallestPart = 5 << 20 // bytes, but for the last part
	largestPart  = 5 << 30 // bytes; also the largest object of one Put or Copy
	mostParts    = 10000
	maxMetadata  = 2 << 10 // bytes of names and values of user metadata
	pageSize     = 1000    // keys, uploads or parts a page
)

// defaultRegion is what servers that know no regions expect in signatures.
const defaultRegion = "us-east-1"

// Store is a bucket, or a folder of one. It implements store.Destination and its optional abilities Multiparter,
// Copier, SumChooser, Single and Renewer.
type Store struct {
	bucket string
	prefix string // "" or ending in "/"
	path   string // of the location, as given
	region string

	base   url.URL // of the bucket
	client *wire.Client
	api    *s3.Client
	creds  *keyring
	signer signer
	now    func() time.Time
	sums   sumState
	// keepsDots: the server is known to take "." and ".." in keys literally.
	keepsDots bool
	listOrder wire.ListOrder
	aws       bool // Amazon's own
	// plain: what a write does not say of the class is STANDARD; vendors with a dialect have a default for each bucket.
	plain     bool
	keepsTags bool
	classes   classes

	identity identity
	cfg      store.Config
}

// identity is what must be equal for one store to copy from the other without the bytes passing here, besides credentials.
type identity struct{ endpoint, region, profile string }

// Open opens the store that cfg names. It reads configuration, and sends nothing.
func Open(ctx context.Context, cfg store.Config) (store.Destination, error) {
	return open(ctx, cfg)
}

func open(ctx context.Context, cfg store.Config) (*Store, error) {
	opts, err := parseOptions(cfg.Location)
	if err != nil {
		return nil, err
	}
	if cfg.Location.Scheme != "s3" && cfg.Credentials == (store.Credentials{}) {
		// The default chain is Amazon's: its keys are of no use to others.
		return nil, &store.Error{Op: "open", Class: store.Misconfigured,
			Err: fmt.Errorf("%s URLs need an access key and a secret key", cfg.Location.Scheme)}
	}
	conf, err := loadConfig(ctx, cfg, opts)
	if err != nil {
		return nil, &store.Error{Op: "open", Class: store.Misconfigured, Err: fmt.Errorf("load AWS configuration: %w", err)}
	}
	buildable, ok := conf.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		return nil, &store.Error{Op: "open", Class: store.Misconfigured, Err: fmt.Errorf("load AWS configuration: unexpected HTTP client %T", conf.HTTPClient)}
	}
	ring := newKeyring(cfg.Credentials, conf.Credentials)
	conf.Credentials = ring
	transport := buildable.GetTransport()
	s := &Store{
		bucket: cfg.Location.Bucket, path: cfg.Location.Path, prefix: wire.Folder(cfg.Location.Path), region: conf.Region,
		client: wire.NewClient(transport),
		creds:  ring, now: time.Now, cfg: cfg,
		signer: signer{region: conf.Region}, listOrder: opts.listOrder,
	}
	s.api = s3.NewFromConfig(conf, func(o *s3.Options) {
		o.HTTPClient = sdkClient{s.client}
		o.Retryer = aws.NopRetryer{}
		o.UsePathStyle = pathStyle(opts, aws.ToString(o.BaseEndpoint))
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	endpoint := aws.ToString(s.api.Options().BaseEndpoint)
	if err := s.resolve(ctx); err != nil {
		return nil, err
	}
	s.identity = identity{endpoint, s.region, opts.profile}
	s.classes, s.plain, s.keepsTags = awsClasses(), true, true
	if d := opts.dialect; d != nil {
		// What their S3 does of tags is not documented, or they have none.
		s.classes, s.plain, s.keepsTags = d.classes, false, false
	}
	if s.aws = isAWS(endpoint); s.aws {
		s.sums.crc64.Store(crc64Proven)
		s.keepsDots = true
	}
	return s, nil
}

// pathStyle decides between https://endpoint/bucket/key and https://bucket.endpoint/key.
func pathStyle(opts options, endpoint string) bool {
	if opts.pathStyle != nil {
		return *opts.pathStyle
	}
	return !isAWS(endpoint) && opts.dialect == nil
}

func loadConfig(ctx context.Context, cfg store.Config, opts options) (aws.Config, error) {
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(newBuildable(cfg.Concurrency)),
		config.WithLogger(logging.Nop{}), // it would write to standard error; what matters comes back as an error
	}
	if opts.region != "" {
		load = append(load, config.WithRegion(opts.region))
	}
	if opts.profile != "" {
		load = append(load, config.WithSharedConfigProfile(opts.profile))
	}
	if opts.endpoint != "" {
		load = append(load, config.WithBaseEndpoint(opts.endpoint))
	}
	if !isAWS(opts.endpoint) {
		// Only Amazon takes an instance role's keys, and elsewhere there may be nobody to ask for them.
		load = append(load, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	if c := cfg.Credentials; c != (store.Credentials{}) {
		load = append(load, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, c.SessionToken)))
	}
	conf, err := config.LoadDefaultConfig(ctx, load...)
	if conf.Region == "" {
		conf.Region = defaultRegion
	}
	return conf, err
}

// resolve finds the URL of the bucket as the SDK would.
func (s *Store) resolve(ctx context.Context) error {
	o := s.api.Options()
	params := s3.EndpointParameters{
		Bucket: &s.bucket, Region: &o.Region, Endpoint: o.BaseEndpoint, ForcePathStyle: &o.UsePathStyle,
		UseFIPS:      aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack: aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
	}
	endpoint, err := o.EndpointResolverV2.ResolveEndpoint(ctx, params)
	if err != nil {
		return &store.Error{Op: "open", Class: store.Misconfigured, Hint: hintRegion, Err: fmt.Errorf("resolve endpoint: %w", err)}
	}
	s.base = endpoint.URI
	s.base.Path = strings.TrimSuffix(s.base.Path, "/")
	s.base.RawPath = ""
	return nil
}

func userMetadata() wire.MetaRules {
	return wire.MetaRules{Prefix: "X-Amz-Meta-", Most: maxMetadata, Store: "S3"}
}

// Abilities tells what every S3 store can do.
func (s *Store) Abilities() store.Abilities {
	a := store.Abilities{
		Scheme: "s3", Conditional: true, Pinned: true, Metadata: true, ModTimeUnit: time.Second, MaxKey: maxKey,
		Sums:    []string{"md5", "crc64nvme", "crc32c", "sha256", "etag"},
		Classes: s.classes.all(), Tags: s.keepsTags, Access: true, Encryption: true,
	}
	s.listOrder.Declare(&a)
	return a
}

// Single implements store.Single: a path without a "/" at its end may be the key of one object.
func (s *Store) Single(ctx context.Context) (key string, ok bool, err error) {
	return wire.Single(s.path, &s.prefix, func(key string) error {
		_, err := s.Stat(ctx, key)
		return err
	})
}

// Close drops the connections that nothing uses.
func (s *Store) Close() error {
	s.client.Transport.CloseIdleConnections()
	return nil
}
