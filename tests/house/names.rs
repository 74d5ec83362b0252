//! What a file names: the beginnings of all its paths, resolved as far as its own text allows.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, ItemExternCrate, ItemMacro, ItemMod, ItemUse, Macro, Meta, Path, UseTree,
    Visibility,
    ext::IdentExt,
    visit::{self, Visit},
};

/// One name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub line: usize,
    /// Segments: `crate` first for what is ours, whatever way it was written; otherwise the crate.
    pub path: Vec<String>,
    /// It is made visible to others under a name of this file.
    pub is_reexport: bool,
    /// It is a macro without a path (`println!`), which no crate's name can be.
    pub is_macro_call: bool,
}

/// Everything a file names outside `cfg(test)`; `file` is its path below `src`.
pub fn of(file: &str, parsed: &syn::File) -> Vec<Named> {
    let mut local = Local::default();
    local.visit_file(parsed);
    let mut names = Names { module: module_of(file), local: local.names, named: Vec::new() };
    names.visit_file(parsed);
    names.named
}

/// The modules that a file declares for tests only, as paths below `src` without `.rs`.
pub fn test_modules(file: &str, source: &str) -> Vec<String> {
    let Ok(parsed) = syn::parse_file(source) else { return Vec::new() };
    let module = module_of(file).join("/");
    parsed
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Mod(item) if item.content.is_none() && is_test(&item.attrs) => {
                Some(format!("{module}/{}", item.ident.unraw()).trim_start_matches('/').to_owned())
            }
            _ => None,
        })
        .collect()
}

/// `store/s3/keys.rs` → `store`, `s3`, `keys`; `store/mod.rs` → `store`; `lib.rs` → nothing.
fn module_of(file: &str) -> Vec<String> {
    let mut module: Vec<String> =
        file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let last = module.last().map(String::as_str);
    if last == Some("mod") || matches!(module.as_slice(), [only] if only == "lib" || only == "main")
    {
        module.pop();
    }
    module
}

/// Whether an item is compiled for tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && matches!(&attribute.meta, Meta::List(list) if asks_for_test(list.tokens.clone()))
    })
}

/// Whether a `cfg` predicate holds under test alone: `test`, or `all(…, test, …)`.
fn asks_for_test(predicate: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = predicate.into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(ident)] => ident == "test",
        [TokenTree::Ident(ident), TokenTree::Group(group)] if ident == "all" => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            inner
                .split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ','))
                .any(|part| asks_for_test(part.iter().cloned().collect()))
        }
        _ => false,
    }
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Names that a file brings into scope by itself: a path that begins with one of them begins with
/// no crate. What they stand for is judged where they are declared or imported.
#[derive(Default)]
struct Local {
    names: BTreeSet<String>,
}

impl Local {
    fn leaves(&mut self, tree: &UseTree, depth: usize) {
        match tree {
            UseTree::Path(path) => self.leaves(&path.tree, depth + 1),
            UseTree::Name(name) if depth > 0 => {
                self.names.insert(name.ident.unraw().to_string());
            }
            UseTree::Rename(rename) => {
                self.names.insert(rename.rename.unraw().to_string());
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.leaves(tree, depth)),
            UseTree::Name(_) | UseTree::Glob(_) => {}
        }
    }
}

impl Visit<'_> for Local {
    fn visit_item(&mut self, item: &Item) {
        if !is_test(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        self.leaves(&item.tree, 0);
    }

    fn visit_item_mod(&mut self, item: &ItemMod) {
        self.names.insert(item.ident.unraw().to_string());
        visit::visit_item_mod(self, item);
    }
}

struct Names {
    /// Where we are.
    module: Vec<String>,
    local: BTreeSet<String>,
    named: Vec<Named>,
}

impl Names {
    /// Notes a path as it was written, resolved to a crate or to `crate::…`.
    fn note(&mut self, line: usize, absolute: bool, written: &[String], is_reexport: bool) {
        let Some(first) = written.first() else { return };
        let mut path = Vec::new();
        match first.as_str() {
            "crate" | "$crate" | "registry_mirror" => {
                path.push("crate".to_owned());
                path.extend_from_slice(&written[1..]);
            }
            "self" | "super" => {
                let up = written.iter().filter(|segment| *segment == "super").count();
                let kept = self.module.len().saturating_sub(up);
                path.push("crate".to_owned());
                path.extend_from_slice(&self.module[..kept]);
                let walk = |segment: &&String| *segment == "super" || *segment == "self";
                path.extend(written.iter().skip_while(walk).cloned());
            }
            name if !absolute && self.local.contains(name) => return,
            _ => path.extend_from_slice(written),
        }
        self.named.push(Named { line, path, is_reexport, is_macro_call: false });
    }

    fn tree(&mut self, tree: &UseTree, absolute: bool, before: &[String], is_reexport: bool) {
        let with = |ident: &syn::Ident| {
            let mut path = before.to_vec();
            if ident != "self" || before.is_empty() {
                path.push(ident.unraw().to_string());
            }
            (ident.span().start().line, path)
        };
        match tree {
            UseTree::Path(path) => {
                let (_, path_so_far) = with(&path.ident);
                self.tree(&path.tree, absolute, &path_so_far, is_reexport);
            }
            UseTree::Name(name) => {
                let (line, path) = with(&name.ident);
                self.note(line, absolute, &path, is_reexport);
            }
            UseTree::Rename(rename) => {
                let (line, path) = with(&rename.ident);
                self.note(line, absolute, &path, is_reexport);
            }
            UseTree::Glob(glob) => {
                let mut path = before.to_vec();
                path.push("*".to_owned());
                self.note(glob.star_token.spans[0].start().line, absolute, &path, is_reexport);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, absolute, before, is_reexport);
                }
            }
        }
    }

    /// Paths in tokens that nobody has parsed: a macro's input, an attribute's arguments.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, wanted: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted);
        let colons = |at: usize| is(at, ':') && is(at + 1, ':');
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => {
                    self.tokens(group.stream());
                    at += 1;
                }
                TokenTree::Ident(ident) => {
                    let line = ident.span().start().line;
                    // After `::` without a name before it, or after `<T>::`: both end a path we
                    // cannot see the beginning of, unless it is an absolute one.
                    let absolute = at >= 2 && colons(at - 2);
                    let mut path = vec![ident.unraw().to_string()];
                    at += 1;
                    while colons(at) {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 2) else { break };
                        path.push(next.unraw().to_string());
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.note(line, absolute, &path, false);
                    } else if is(at, '!') {
                        self.macro_call(line, path);
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }

    fn macro_call(&mut self, line: usize, path: Vec<String>) {
        self.named.push(Named { line, path, is_reexport: false, is_macro_call: true });
    }
}

/// More visible than private.
fn is_shown(visibility: &Visibility) -> bool {
    !matches!(visibility, Visibility::Inherited)
}

impl Visit<'_> for Names {
    fn visit_item(&mut self, item: &Item) {
        if !is_test(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_field(&mut self, field: &syn::Field) {
        if !is_test(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_item_mod(&mut self, item: &ItemMod) {
        self.module.push(item.ident.unraw().to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        let absolute = item.leading_colon.is_some();
        self.tree(&item.tree, absolute, &[], is_shown(&item.vis));
    }

    fn visit_item_extern_crate(&mut self, item: &ItemExternCrate) {
        let line = item.ident.span().start().line;
        self.note(line, true, &[item.ident.unraw().to_string()], is_shown(&item.vis));
    }

    fn visit_path(&mut self, path: &Path) {
        // A path of one segment is a local name, whatever it is called.
        if path.segments.len() > 1 {
            let written: Vec<String> =
                path.segments.iter().map(|segment| segment.ident.unraw().to_string()).collect();
            let line = path.segments[0].ident.span().start().line;
            self.note(line, path.leading_colon.is_some(), &written, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &Macro) {
        if let Some(ident) = invoked.path.get_ident() {
            self.macro_call(ident.span().start().line, vec![ident.unraw().to_string()]);
        }
        self.tokens(invoked.tokens.clone());
        visit::visit_macro(self, invoked);
    }

    fn visit_item_macro(&mut self, item: &ItemMacro) {
        visit::visit_item_macro(self, item);
    }

    fn visit_attribute(&mut self, attribute: &Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }
}
