import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

ROLES = [("none", "none"), ("viewer", "viewer"), ("operator", "operator"), ("admin", "administrator")]


def keep_accounts(apps, schema_editor):
    """Accounts that exist could do everything: superusers are administrators, the others operators from now on."""
    User = apps.get_model(*settings.AUTH_USER_MODEL.split("."))
    Account = apps.get_model("stores", "Account")
    for user in User.objects.all():
        Account.objects.get_or_create(user=user, defaults={"role": "admin" if user.is_superuser else "operator"})


class Migration(migrations.Migration):
    dependencies = [
        ("stores", "0010_publication"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                ("user", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="account", serialize=False, to=settings.AUTH_USER_MODEL)),
                ("role", models.CharField(choices=ROLES, default="none", max_length=8)),
                ("from_provider", models.BooleanField(default=False)),
                ("must_change", models.BooleanField(default=False)),
            ],
        ),
        migrations.CreateModel(
            name="Policy",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("read_only", models.BooleanField(default=False)),
                ("second_factor_from", models.CharField(blank=True, choices=ROLES, max_length=8)),
            ],
            options={"constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="one_policy")]},
        ),
        migrations.CreateModel(
            name="StoreGrant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("role", models.CharField(choices=ROLES, max_length=8)),
                ("store", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="grants", to="stores.store")),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="store_grants", to=settings.AUTH_USER_MODEL)),
            ],
            options={"ordering": ["store"]},
        ),
        migrations.AddConstraint(
            model_name="storegrant",
            constraint=models.UniqueConstraint(fields=("user", "store"), name="one_grant_per_user_and_store"),
        ),
        migrations.RunPython(keep_accounts, migrations.RunPython.noop),
    ]
