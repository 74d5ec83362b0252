//! Actions of `cache`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Options;

/// Action on the cache.
#[derive(Clone, Debug, Subcommand)]
pub enum CacheAction {
    /// List images, or those that a name, a tag or a digest means
    Ls {
        /// Options common to all commands.
        #[command(flatten)]
        options: Options,
        /// `name`, `name:tag`, `name@digest` or a digest
        image: Option<String>,
    },
    /// Tell how much there is, by repository and in all
    Du {
        /// Options common to all commands.
        #[command(flatten)]
        options: Options,
    },
    /// Take images away, and of their content what no other image needs
    Purge {
        /// Options common to all commands.
        #[command(flatten)]
        options: Options,
        /// `name`, `name:tag`, `name@digest` or a digest
        #[arg(required = true)]
        images: Vec<String>,
        /// Only tell what would go
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Read and hash what is kept; what is wrong is dropped, and fetched anew when it is wanted
    Verify {
        /// Options common to all commands.
        #[command(flatten)]
        options: Options,
        /// `name`, `name:tag`, `name@digest` or a digest [default: everything]
        image: Option<String>,
    },
    /// Clean up now: what is marked goes, what is unused is marked
    Gc {
        /// Options common to all commands.
        #[command(flatten)]
        options: Options,
        /// Only tell what would go, and why
        #[arg(long)]
        dry_run: bool,
    },
    /// Say that all content of the bucket is a mirror's, so that it is used and cleaned up
    Adopt {
        /// Options common to all commands.
        #[command(flatten)]
        options: Options,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Write down for `registry:2` what it needs to serve what is in use: the way back
    Links {
        /// Options common to all commands.
        #[command(flatten)]
        options: Options,
    },
    /// Pull images, so that they are there when a job wants them
    Warm {
        /// Options common to all commands.
        #[command(flatten)]
        options: Options,
        /// `name`, `name:tag` or `name@digest`
        images: Vec<String>,
        /// A list, an image a line
        #[arg(long, value_name = "LIST")]
        file: Option<PathBuf>,
        /// Platforms such as `linux/arm64`, of images that have several [default: this machine's]
        #[arg(long = "platform", value_delimiter = ',', value_name = "OS/ARCH")]
        platforms: Vec<String>,
    },
}

impl CacheAction {
    /// Options after the action.
    pub(super) fn options(&self) -> &Options {
        match self {
            Self::Ls { options, .. }
            | Self::Du { options }
            | Self::Purge { options, .. }
            | Self::Verify { options, .. }
            | Self::Gc { options, .. }
            | Self::Adopt { options, .. }
            | Self::Links { options }
            | Self::Warm { options, .. } => options,
        }
    }
}
